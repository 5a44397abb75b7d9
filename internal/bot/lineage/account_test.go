package lineage_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

const server = "https://localhost:14000/dir"

func tempDirs(t *testing.T) lineage.Dirs {
	t.Helper()
	top := t.TempDir()
	return lineage.Dirs{Config: filepath.Join(top, "etc"), Work: filepath.Join(top, "lib"), Logs: filepath.Join(top, "log")}
}

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// loadAccounts has certbot load all accounts at a server, and sign with each as it would sign a request.
const loadAccounts = `
import argparse, json, sys
from certbot import configuration
from certbot._internal import account, client, constants, cli
from acme import client as acme_client
ns = argparse.Namespace(config_dir=sys.argv[1], work_dir=sys.argv[2], logs_dir=sys.argv[3], server=sys.argv[4], strict_permissions=False, no_verify_ssl=False, user_agent="x",
    http01_port=80, https_port=443, domains=[])
config = configuration.NamespaceConfig(ns)
used = []
class Net(acme_client.ClientNetwork):
    def __init__(self, key, account=None, alg=None, **kw):
        super().__init__(key, account=account, alg=alg)
        jws = self._wrap_in_jws(acme_client.messages.Registration(), b"nonce", "https://x")
        from acme.jws import JWS
        used.append([alg.name, JWS.json_loads(jws).verify(key.public_key())])
client.acme_client.ClientNetwork = Net
client.acme_client.ClientV2.get_directory = classmethod(lambda *a: None)
out = []
for a in account.AccountFileStorage(config).find_all():
    client.acme_from_config_key(config, a.key, a.regr)
    out.append({"id": a.id, "uri": a.regr.uri, "host": a.meta.creation_host, "created": a.meta.creation_dt.isoformat(), "eff": a.meta.register_to_eff, "alg": used[-1][0], "verified": used[-1][1]})
json.dump(out, sys.stdout)
`

func TestAccountsWorkInCertbot(t *testing.T) {
	dirs := tempDirs(t)
	if err := dirs.Prepare(); err != nil {
		t.Fatal(err)
	}
	accounts, err := dirs.Accounts(server)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{} // ID: algorithm
	created := time.Date(2026, 11, 23, 17, 57, 20, 0, time.UTC)
	for alg, key := range map[string]crypto.Signer{
		"RS256": rsaKey(t), "ES256": ecKey(t, elliptic.P256()), "ES384": ecKey(t, elliptic.P384()), "ES512": ecKey(t, elliptic.P521()),
	} {
		account := &lineage.Account{Key: key, URL: "https://localhost:14000/account/" + alg, Created: created, Host: "vm", RegisterToEFF: "a@b.example"}
		if err := accounts.Save(account); err != nil {
			t.Fatal(err)
		}
		want[account.ID()] = alg
		directory := filepath.Join(dirs.Config, "accounts/localhost:14000/dir", account.ID())
		for path, mode := range map[string]fs.FileMode{"..": 0o700, "../..": 0o700, ".": 0o700, "private_key.json": 0o400, "regr.json": 0o644, "meta.json": 0o644} {
			if info, err := os.Stat(filepath.Join(directory, path)); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, mode)
			}
		}
	}
	var got []struct {
		ID, URI, Host, Created, EFF, Alg string
		Verified                         bool
	}
	if err := json.Unmarshal(python(t, loadAccounts, nil, dirs.Config, dirs.Work, dirs.Logs, server), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("certbot finds %d accounts, want %d", len(got), len(want))
	}
	for _, account := range got {
		alg := want[account.ID]
		if account.Alg != alg || !account.Verified || account.URI != "https://localhost:14000/account/"+alg || account.Host != "vm" ||
			account.Created != "2026-11-23T17:57:20+00:00" || account.EFF != "a@b.example" {
			t.Errorf("certbot reads %+v, want %s", account, alg)
		}
	}
}

// makeAccount has certbot save an account.
const makeAccount = `
import argparse, json, sys, types
from certbot import configuration
from certbot._internal import account
from acme import messages
import josepy as jose
from cryptography.hazmat.primitives.asymmetric import rsa, ec
ns = argparse.Namespace(config_dir=sys.argv[1], work_dir=sys.argv[2], logs_dir=sys.argv[3], server=sys.argv[4], strict_permissions=False, http01_port=80, https_port=443, domains=[])
storage = account.AccountFileStorage(configuration.NamespaceConfig(ns))
key = jose.JWKRSA(key=rsa.generate_private_key(65537, 2048)) if sys.argv[5] == "rsa" else jose.JWKEC(key=ec.generate_private_key(ec.SECP384R1()))
a = account.Account(messages.RegistrationResource(uri="https://x/1", body=messages.Registration(), terms_of_service="https://x/tos"), key)
storage.save(a, types.SimpleNamespace(directory=object()))
print(a.id, end="")
`

func TestAccountsReadCertbots(t *testing.T) {
	for _, kind := range []string{"rsa", "ec"} {
		t.Run(kind, func(t *testing.T) {
			dirs := tempDirs(t)
			id := string(python(t, makeAccount, nil, dirs.Config, dirs.Work, dirs.Logs, server, kind))
			accounts, err := dirs.Accounts(server)
			if err != nil {
				t.Fatal(err)
			}
			account, err := accounts.Load(id)
			if err != nil {
				t.Fatal(err)
			}
			if account.ID() != id || account.URL != "https://x/1" || time.Since(account.Created) > time.Hour || account.Host == "" {
				t.Errorf("got %+v", account)
			}
			directory := filepath.Join(dirs.Config, "accounts/localhost:14000/dir", id)
			key, err := os.ReadFile(filepath.Join(directory, "private_key.json"))
			if err != nil {
				t.Fatal(err)
			}
			registration, err := os.ReadFile(filepath.Join(directory, "regr.json"))
			if err != nil {
				t.Fatal(err)
			}
			account.URL = "https://x/2"
			if err := accounts.Save(account); err != nil {
				t.Fatal(err)
			}
			if again, _ := os.ReadFile(filepath.Join(directory, "private_key.json")); string(again) != string(key) {
				t.Error("the key was written anew")
			}
			var before, after map[string]any
			again, _ := os.ReadFile(filepath.Join(directory, "regr.json"))
			if json.Unmarshal(registration, &before) != nil || json.Unmarshal(again, &after) != nil {
				t.Fatal("regr.json is not JSON")
			}
			before["uri"] = "https://x/2"
			if b, a := asJSON(t, before), asJSON(t, after); a != b {
				t.Errorf("regr.json is %s, want %s", a, b)
			}
		})
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAccountsSkipWhatIsNotWhole(t *testing.T) {
	dirs := tempDirs(t)
	if err := dirs.Prepare(); err != nil {
		t.Fatal(err)
	}
	accounts, err := dirs.Accounts(server)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := accounts.List(); len(list) != 0 || err != nil {
		t.Fatalf("without any: %v, %v", list, err)
	}
	var ids []string
	for i := range 4 {
		account := &lineage.Account{Key: ecKey(t, elliptic.P256()), URL: "https://x/1", Created: time.Unix(int64(2000-i), 0)}
		if err := accounts.Save(account); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, account.ID())
	}
	directory := filepath.Join(dirs.Config, "accounts/localhost:14000/dir")
	if err := os.Remove(filepath.Join(directory, ids[0], "meta.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, ids[1], "regr.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := accounts.List()
	if err != nil || len(list) != 2 || list[0].ID() != ids[3] || list[1].ID() != ids[2] {
		t.Errorf("got %v, %v, want the last two, the oldest first", list, err)
	}
	for _, id := range []string{"", "..", "../dir/" + ids[2], ids[0], strings.Repeat("0", 32)} {
		if account, err := accounts.Load(id); err == nil {
			t.Errorf("%q is loaded as %+v", id, account)
		}
	}
	if err := accounts.Remove(ids[2]); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.Load(ids[2]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
}

func TestAccountsOfAnEarlierServer(t *testing.T) {
	dirs := tempDirs(t)
	if err := dirs.Prepare(); err != nil {
		t.Fatal(err)
	}
	earlier, err := dirs.Accounts("https://acme-v01.api.letsencrypt.org/directory")
	if err != nil {
		t.Fatal(err)
	}
	account := &lineage.Account{Key: ecKey(t, elliptic.P256()), URL: "https://x/1"}
	if err := earlier.Save(account); err != nil {
		t.Fatal(err)
	}
	now, err := dirs.Accounts("https://acme-v02.api.letsencrypt.org/directory")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := now.List(); err != nil || len(list) != 1 || list[0].ID() != account.ID() {
		t.Errorf("got %v, %v", list, err)
	}
	if _, err := now.Load(account.ID()); err != nil {
		t.Error(err)
	}
}

func TestAccountsRefuse(t *testing.T) {
	dirs := tempDirs(t)
	for _, server := range []string{"", "localhost", "https:///dir", "https://h/../../x", "https://../x", "%"} {
		if _, err := dirs.Accounts(server); err == nil {
			t.Errorf("%q has a place", server)
		}
	}
	accounts, err := dirs.Accounts(server)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{edwards, ecKey(t, elliptic.P224())} {
		if err := accounts.Save(&lineage.Account{Key: key, URL: "https://x/1"}); err == nil {
			t.Errorf("a key of type %T, which certbot cannot read, was saved", key)
		}
	}
}
