package renew

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Job is what must not be lost between the start of an order and the deployment
// of its certificate, deploy-hooks included.
type Job struct {
	Server  string // the URL of the CA's directory
	Account string // the account's URL
	Want    Want
	Names   []acme.Identifier // of the order: those wanted, or some of them (Want.Subset)
	Key     string            // the certificate's private key: PKCS#8 in PEM; "" with Want.CSR
	Before  string            `json:",omitempty"` // the fingerprint of the certificate that is to be replaced
	Order   string            // the order's URL; "" before it is placed
	Created time.Time
}

// fits reports whether j is for exactly this.
func (j *Job) fits(want Want, server, account string) bool {
	if len(want.Reuse) > 0 && string(want.Reuse) != j.Key || len(j.Names) == 0 {
		return false
	}
	want.Reuse = nil
	return j.Server == server && j.Account == account && reflect.DeepEqual(j.Want, want)
}

// maxAge is how long an order is gone on with. What the CA has not finished by then it
// will not finish, whatever it answers.
const maxAge = 7 * 24 * time.Hour

// outdated reports whether j is too old to be gone on with. Where the certificate that is to
// be replaced lives for weeks only, it must not wait so long that it expires.
func (j *Job) outdated(current *x509.Certificate, now time.Time) bool {
	limit := maxAge
	if current != nil {
		limit = min(limit, current.NotAfter.Sub(current.NotBefore)/6)
	}
	age := now.Sub(j.Created)
	return age > limit || age < -limit // the clock may have been wrong
}

// Jobs keeps one Job for each lineage, in files that only their owner can read.
type Jobs struct{ directory string }

// OpenJobs uses the given directory, and makes it (0700) when the first job is saved.
func OpenJobs(directory string) *Jobs { return &Jobs{directory: directory} }

// NoJobs forgets every job at once: nothing of a rehearsal is to be gone on with.
func NoJobs() *Jobs { return &Jobs{} }

func (j *Jobs) path(lineage string) (string, error) {
	if lineage == "" || strings.ContainsAny(lineage, "/\\") || strings.HasPrefix(lineage, ".") {
		return "", fmt.Errorf("%q cannot be the name of a certificate", lineage)
	}
	return filepath.Join(j.directory, lineage+".json"), nil
}

// maxJob is a bound for a file that this program has written: a hundred names and a key.
const maxJob = 1 << 20

// Load returns the job of a lineage, or nil. A file that cannot be understood is of
// no use to anyone, and counts as none.
func (j *Jobs) Load(lineage string) (*Job, error) {
	path, err := j.path(lineage)
	if err != nil || j.directory == "" {
		return nil, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || info.Size() > maxJob {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading an unfinished job: %w", err)
	}
	job := new(Job)
	if json.Unmarshal(text, job) != nil {
		return nil, nil
	}
	return job, nil
}

// List names the lineages that there are jobs for. It removes what a crash has left of one that was being
// saved, for there is a key in it; so nothing may be saved meanwhile.
func (j *Jobs) List() ([]string, error) {
	if j.directory == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(j.directory)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing unfinished jobs: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), atomicfile.Temporary) {
			if err := os.Remove(filepath.Join(j.directory, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("removing an unfinished job: %w", err)
			}
		}
		if name, found := strings.CutSuffix(entry.Name(), ".json"); found && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

// LedTo reports whether a certificate is what j was for: it has j's key, and is not the one before, which
// has the same where a key is used again.
func (j *Job) LedTo(leaf *x509.Certificate) bool {
	if j.Before != "" && j.Before == fingerprint(leaf) {
		return false
	}
	key, err := lineage.ParseKey([]byte(j.Key))
	if err != nil {
		return false
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(leaf.PublicKey)
}

// Save makes job durable, in place of what was kept for its lineage before.
func (j *Jobs) Save(job *Job) error {
	path, err := j.path(job.Want.Lineage)
	if err != nil || j.directory == "" {
		return err
	}
	text, err := json.MarshalIndent(job, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding a job: %w", err)
	}
	if err := os.MkdirAll(j.directory, 0o700); err != nil {
		return fmt.Errorf("saving a job: %w", err)
	}
	if err := state.Replace(path, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("saving a job: %w", err)
	}
	return nil
}

// Remove forgets the job of a lineage.
func (j *Jobs) Remove(lineage string) error {
	path, err := j.path(lineage)
	if err != nil || j.directory == "" {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a finished job: %w", err)
	}
	return nil
}

// request gives the certificate request of j, and the key that it is for.
func (j *Job) request() (csr []byte, public crypto.PublicKey, err error) {
	if j.Want.CSR != nil {
		parsed, err := x509.ParseCertificateRequest(j.Want.CSR)
		if err != nil {
			return nil, nil, err
		}
		return j.Want.CSR, parsed.PublicKey, nil
	}
	key, err := lineage.ParseKey([]byte(j.Key))
	if err != nil {
		return nil, nil, err
	}
	csr, err = newCSR(key, j.Names, j.Want.MustStaple)
	return csr, key.Public(), err
}

// fingerprint names a certificate; "" is for none.
func fingerprint(certificate *x509.Certificate) string {
	if certificate == nil {
		return ""
	}
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}

// state is how the files of this package are written: nobody else does, and names that differ may be written at once.
var state = atomicfile.File{Mode: 0o600, Alone: true}
