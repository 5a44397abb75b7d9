package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// readme is the file that explains live and live/NAME.
const readme = "README"

// writeReadme explains live, where nobody has yet.
func (s *Store) writeReadme() error {
	path := filepath.Join(s.lives(), readme)
	if exists(path) {
		return nil
	}
	if err := atomicfile.Create(path, readmeText("[cert name]/"), 0o644); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// readmeText says what the files are; prefix is where they are from the README.
func readmeText(prefix string) []byte {
	return fmt.Appendf(nil, `Keys and certificates are found here under names that stay the same.

%[1]sfullchain.pem  the certificate and what certifies it: what most servers want
%[1]sprivkey.pem    the private key that belongs to it
%[1]schain.pem      only what certifies the certificate, for OCSP stapling
%[1]scert.pem       only the certificate; most servers do not work with this alone

These are links to the current version in ../archive, and are changed with each
renewal. Point your servers at them, and do not move or rename them: certbot and
cairnbot look for them here, and will not renew a certificate they cannot find.
`, prefix)
}
