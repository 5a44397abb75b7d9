package lineage

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
)

// Lineage is a certificate through all its renewals.
type Lineage struct {
	Name string
	Conf *Conf // change it, then Save

	store   *Store
	paths   map[Kind]string // of the live links
	archive string          // the directory of the versions
	version int             // that was live when it was loaded; 0 if that is not known
}

// Load reads one lineage. The error is fs.ErrNotExist if there is no
// renewal/NAME.conf; otherwise it says what is broken. Links that lead to several versions, or to none, are
// what certbot leaves when it is interrupted, and are put in order first.
func (s *Store) Load(name string) (*Lineage, error) {
	l, err := s.loadConf(name)
	if err != nil {
		return nil, err
	}
	if err = l.look(); err == nil && l.version != 0 {
		return l, nil
	}
	if repairErr := l.repairLink(); repairErr != nil {
		return nil, fmt.Errorf("putting the links of %s in order: %w", name, repairErr)
	}
	if err := l.look(); err != nil {
		return nil, err
	}
	return l, nil
}

// look follows the links, and notes the version that all of them lead to. It says where one leads astray.
func (l *Lineage) look() error {
	l.version = 0
	common := 0
	for i, kind := range Kinds() {
		target, err := linkTarget(l.paths[kind])
		if err != nil {
			return fmt.Errorf("expected %s to be a symlink", l.paths[kind])
		}
		info, err := os.Stat(target)
		if err != nil {
			return fmt.Errorf("target %s of symlink %s does not exist", target, l.paths[kind])
		}
		if !l.archived(target) {
			return fmt.Errorf("symlink %s leads to %s, which is not in the archive directory %s", l.paths[kind], target, l.archive)
		}
		version, ok := versionOf(kind, filepath.Base(target))
		if i == 0 {
			common = version
		}
		if !ok || version != common || !info.Mode().IsRegular() {
			common = -1 // no version, nor is any other
		}
	}
	l.version = max(common, 0)
	return nil
}

// loadConf is Load without a look at the links.
func (s *Store) loadConf(name string) (*Lineage, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	path := s.confPath(name)
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no certificate found with name %s (expected %s): %w", name, path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a renewal configuration: %w", err)
	}
	conf, err := ParseConf(text)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", path, err)
	}
	l := &Lineage{Name: name, Conf: conf, store: s, paths: make(map[Kind]string)}
	for _, kind := range Kinds() {
		if l.paths[kind] = s.resolve(conf.top(string(kind))); l.paths[kind] == "" {
			return nil, fmt.Errorf("renewal config file %s is missing a required file reference: %s", path, kind)
		}
	}
	l.findArchive()
	return l, nil
}

// resolve makes a path in a configuration absolute. Relative ones are not
// certbot's; it would read them from wherever it was started.
func (s *Store) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.dirs.Config, path)
}

// findArchive finds where the versions are. The configuration says so, or it is the
// usual place; never the links, for live/NAME may be open to others, and who can change
// a link must not decide where the next private key is written.
func (l *Lineage) findArchive() {
	l.archive = l.store.resolve(l.Conf.top("archive_dir"))
	if l.archive == "" {
		l.archive = filepath.Join(l.store.archives(), l.Name)
	}
}

// archived reports whether a file is in the directory of the versions, however that is spelled.
func (l *Lineage) archived(path string) bool {
	directory := filepath.Dir(path)
	return directory == l.archive || sameDirectory(directory, l.archive)
}

// linkTarget is where a link leads, as an absolute path.
func linkTarget(link string) (string, error) {
	target, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	return filepath.Clean(target), nil
}

// ConfPath is renewal/NAME.conf.
func (l *Lineage) ConfPath() string { return l.store.confPath(l.Name) }

// Path is where servers find the current file of a kind: live/NAME/KIND.pem.
func (l *Lineage) Path(kind Kind) string { return l.paths[kind] }

// Archive is the directory of the versions: archive/NAME.
func (l *Lineage) Archive() string { return l.archive }

// Live is the directory that hooks are told about: live/NAME.
func (l *Lineage) Live() string { return filepath.Dir(l.paths[Fullchain]) }

// Version is the version that is live, or 0 if the four links do not lead to
// the same one.
func (l *Lineage) Version() int {
	common := 0
	for _, kind := range Kinds() {
		target, err := linkTarget(l.paths[kind])
		if err != nil || !l.archived(target) {
			return 0
		}
		version, ok := versionOf(kind, filepath.Base(target))
		if !ok || common != 0 && version != common || !readable(target) {
			return 0
		}
		common = version
	}
	return common
}

func readable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// versionOf reads the version out of a name like cert3.pem.
func versionOf(kind Kind, base string) (int, bool) {
	digits, ok := strings.CutPrefix(base, string(kind))
	if digits, found := strings.CutSuffix(digits, ".pem"); ok && found {
		version, err := strconv.Atoi(digits)
		return version, err == nil && version > 0 && strconv.Itoa(version) == digits
	}
	return 0, false
}

// file is the path of a version of a kind.
func (l *Lineage) file(kind Kind, version int) string {
	return filepath.Join(l.archive, string(kind)+strconv.Itoa(version)+".pem")
}

// present lists, for each version of which there is anything, the kinds that there are.
func (l *Lineage) present() (map[int][]Kind, error) {
	entries, err := os.ReadDir(l.archive)
	if err != nil {
		return nil, fmt.Errorf("listing the versions of %s: %w", l.Name, err)
	}
	versions := make(map[int][]Kind)
	for _, entry := range entries {
		for _, kind := range Kinds() {
			if version, ok := versionOf(kind, entry.Name()); ok {
				versions[version] = append(versions[version], kind)
			}
		}
	}
	return versions, nil
}

// Versions lists the complete versions, rising.
func (l *Lineage) Versions() ([]int, error) {
	present, err := l.present()
	if err != nil {
		return nil, err
	}
	var complete []int
	for version := range present {
		if l.complete(version) {
			complete = append(complete, version)
		}
	}
	slices.Sort(complete)
	return complete, nil
}

func (l *Lineage) complete(version int) bool {
	for _, kind := range Kinds() {
		if !readable(l.file(kind, version)) { // a key may be a link to an earlier version's
			return false
		}
	}
	return true
}

// Material reads a version, such as Version(), and checks that its parts belong together.
func (l *Lineage) Material(version int) (Material, error) {
	var m Material
	for _, part := range []struct {
		kind Kind
		to   *[]byte
	}{{Cert, &m.Cert}, {Key, &m.Key}, {Chain, &m.Chain}, {Fullchain, &m.Fullchain}} {
		text, err := readFile(l.file(part.kind, version))
		if err != nil {
			return m, fmt.Errorf("reading version %d of %s: %w", version, l.Name, err)
		}
		*part.to = text
	}
	if err := m.Check(); err != nil {
		return m, fmt.Errorf("version %d of %s: %w", version, l.Name, err)
	}
	return m, nil
}

// Leaf reads the certificate that is live, and nothing else: it says what there is to
// renew even where its key is lost. What is to be deployed is read by Material.
func (l *Lineage) Leaf() (*x509.Certificate, error) {
	version := l.version
	if version == 0 {
		version = l.Version()
	}
	text, err := readFile(l.file(Cert, version))
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %s: %w", l.Name, err)
	}
	leaf, err := Material{Cert: text}.Leaf()
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %s: %w", l.Name, err)
	}
	return leaf, nil
}

// Save writes the configuration back. Comments, order and what is unknown are
// kept, and so is the file's mode.
func (l *Lineage) Save() error {
	if err := l.store.begin(); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(l.ConfPath()); err == nil {
		mode = info.Mode().Perm()
	}
	if err := atomicfile.Replace(l.ConfPath(), l.Conf.Bytes(), mode); err != nil {
		return fmt.Errorf("saving the renewal configuration of %s: %w", l.Name, err)
	}
	return nil
}
