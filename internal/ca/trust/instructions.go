package trust

import (
	"net"
	"net/url"
	"strings"
)

// Instruction is how to trust the root on one kind of system.
type Instruction struct {
	System   string // what it is for, as a heading
	Before   string // what to know or do first; may be empty
	Commands string // lines to copy; every one that trusts comes after one that compares
	After    string // what else there is to know; may be empty
}

// The instructions, with what Instructions fills in: {fetch} curl's flags, {der}
// the root's URL, {hex} its fingerprint, {id} a short name, {host} where the
// authority listens.
//
// They fetch the DER and compare the SHA-256 of the whole file, which is the
// certificate's fingerprint: a PEM file may hold a second certificate that
// a look at the first one's fingerprint does not show.
var instructions = []Instruction{
	{
		System: "Debian, Ubuntu and their kin",
		Commands: fetch + `sudo openssl x509 -inform DER -in cairn-root.der -out /usr/local/share/ca-certificates/{id}.crt &&
sudo update-ca-certificates`,
		After: "curl, wget, git, Python's standard library, Go, and Java where Debian's ca-certificates-java is installed follow.",
	},
	{
		System: "Fedora, RHEL and their kin",
		Commands: fetch + `sudo install -m 644 cairn-root.der /etc/pki/ca-trust/source/anchors/{id}.der &&
sudo update-ca-trust`,
		After: "Java from the distribution's packages follows.",
	},
	{
		System: "macOS",
		Commands: `curl {fetch} cairn-root.der {der} &&
echo '{hex}  cairn-root.der' | shasum -a 256 -c &&
sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain cairn-root.der`,
		After: "Safari, Chrome and curl follow.",
	},
	{
		System: "Windows",
		Before: "In a PowerShell that runs as administrator:",
		Commands: `curl.exe {fetch} cairn-root.cer '{plainder}'
if ((Get-FileHash -Algorithm SHA256 cairn-root.cer).Hash -eq '{hex}') {
  Import-Certificate -FilePath cairn-root.cer -CertStoreLocation Cert:\LocalMachine\Root
} else { Write-Error 'cairn-root.cer is not the certificate that was meant' }`,
		After: "Edge and Chrome follow.",
	},
	{
		System: "Firefox",
		Before: "On Windows and macOS, Firefox follows the system. On Linux, fetch and compare the root, then import it: " +
			"Settings, Privacy & Security, View Certificates, Authorities, Import, cairn-root.der, " +
			"\u201cTrust this CA to identify websites\u201d. Or for every user of the machine, unless it has a policies.json already:",
		Commands: fetch + `sudo install -D -m 644 cairn-root.der /usr/local/share/cairn/{id}.der &&
sudo install -d /etc/firefox/policies && [ ! -e /etc/firefox/policies/policies.json ] &&
echo '{"policies":{"Certificates":{"Install":["/usr/local/share/cairn/{id}.der"]}}}' | sudo tee /etc/firefox/policies/policies.json`,
	},
	{
		System:   "Chrome and Chromium on Linux",
		Before:   "certutil is in Debian's libnss3-tools and Fedora's nss-tools.",
		Commands: fetch + `certutil -d sql:"$HOME/.pki/nssdb" -A -t C,, -n {id} -i cairn-root.der`,
	},
	{
		System:   "Java",
		Before:   "For a Java that brings its own trust store:",
		Commands: fetch + `sudo keytool -importcert -noprompt -cacerts -storepass changeit -alias {id} -file cairn-root.der`,
		After:    "changeit is the password that Java ships with. Repeat it after an update that replaces the Java.",
	},
	{
		System: "A container",
		Before: "In the Dockerfile of an image made from Debian or Ubuntu (the build stops if the fingerprint differs):",
		Commands: `# syntax=docker/dockerfile:1
ADD --checksum=sha256:{hex} {plainder} /tmp/cairn-root.der
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates openssl && rm -rf /var/lib/apt/lists/* && \
    openssl x509 -inform DER -in /tmp/cairn-root.der -out /usr/local/share/ca-certificates/{id}.crt && \
    update-ca-certificates && rm /tmp/cairn-root.der`,
		After: "With Alpine: RUN apk add --no-cache ca-certificates openssl, and the rest as above.",
	},
	{
		System: "curl and OpenSSL, for one command",
		Commands: fetch + `openssl x509 -inform DER -in cairn-root.der -out cairn-root.pem &&
curl --cacert cairn-root.pem {directory} &&
openssl s_client -connect {host} -CAfile cairn-root.pem -verify_return_error </dev/null`,
		After: "cairn-root.pem is the file that the clients' lines above mean.",
	},
}

// fetch downloads the root and goes on only if it is the one that was meant.
const fetch = `curl {fetch} cairn-root.der {der} &&
echo '{hex}  cairn-root.der' | sha256sum -c &&
`

// Instructions says how to trust the root on each kind of system, with exact commands.
func (p Page) Instructions() []Instruction {
	flags := "-fsSo"
	if strings.HasPrefix(p.RootDER, "https:") {
		// Nothing vouches for that server yet. The comparison does, for what came from it.
		flags = "-kfsSo"
	}
	fill := strings.NewReplacer(
		"{fetch}", flags,
		"{der}", Quote(p.RootDER),
		"{plainder}", p.RootDER,
		"{directory}", Quote(p.Directory),
		"{hex}", p.Hex(),
		"{id}", "cairn-"+p.Hex()[:16],
		"{host}", Quote(hostPort(p.Directory)),
	).Replace
	list := make([]Instruction, len(instructions))
	for i, in := range instructions {
		in.Commands = fill(in.Commands)
		list[i] = in
	}
	return list
}

// hostPort returns HOST:PORT of an https URL.
func hostPort(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
