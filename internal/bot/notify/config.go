package notify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// Settings are what an operator says about notifications: a file, and flags.
type Settings struct {
	Targets []Target
	Kinds   []Kind
	Again   int
}

// File is the name of the configuration file, in the configuration directory:
//
//	events = failed, recovered, expiry-near, expired     (all, where it is missing)
//	again = 10                                            (after how many more failures they are told of again)
//
//	[mail]
//	to = ops@example.org, duty@example.org
//	from = cairnbot@example.org
//	server = smtp.example.org:587                         (without it the program sendmail is used)
//	security = starttls                                   (or tls, or none)
//	user = cairnbot
//	password_file = smtp-password                         (or password = …)
//
//	[webhook]
//	url = https://hooks.example.org/cairn
//	secret_file = webhook-secret                          (or secret = …)
//	timeout = 15s
//
//	[exec]
//	command = /usr/local/bin/tell
//	timeout = 1m
//
// A section may have another name if it says type = mail, webhook or exec. What is not known is refused.
const File = "notify.ini"

// maxSecret bounds a file with a password.
const maxSecret = 4 << 10

// keys are what a section may say, by its type.
var keys = map[string][]string{
	"mail":    {"type", "to", "from", "server", "security", "user", "password", "password_file", "sendmail", "timeout"},
	"webhook": {"type", "url", "secret", "secret_file", "timeout"},
	"exec":    {"type", "command", "timeout"},
}

// Sources are where Settings come from.
type Sources struct {
	Directory   string   // where File is; it may be missing
	Flags       []string // targets of the command line: an URL, mailto:ADDRESS or exec:COMMAND. Mail takes the way that [mail] describes.
	Host        string   // this machine's name
	Environment []string // of commands
}

// Read reads settings.
func Read(from Sources) (Settings, error) {
	r := reader{Sources: from}
	path := filepath.Join(from.Directory, File)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return r.settings, fmt.Errorf("reading %s: %w", path, err)
	default:
		if err := r.file(text); err != nil {
			return r.settings, fmt.Errorf("reading %s: %w", path, err)
		}
		if r.secret {
			if err := private(path); err != nil {
				return r.settings, err
			}
		}
	}
	for _, flag := range from.Flags {
		if err := r.flag(flag); err != nil {
			return r.settings, fmt.Errorf("argument --notify: %w", err)
		}
	}
	r.distinct()
	return r.settings, nil
}

// private refuses a file with a secret that others can read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s has a secret and can be read by others: run chmod 600 %s", path, path)
	}
	return nil
}

// reader collects settings.
type reader struct {
	Sources
	settings Settings
	secret   bool  // the file has one in it
	mail     *Mail // of the section [mail]
}

func (r *reader) file(text []byte) error {
	document, err := lineage.ParseDocument(text)
	if err != nil {
		return err
	}
	root := document.Root()
	for _, key := range root.Keys() {
		value, _ := root.Get(key)
		switch key {
		case "events":
			for _, item := range value.Items() {
				if !slices.Contains(Kinds(), Kind(item)) {
					return fmt.Errorf("events: there is no event %q; there are %v", item, Kinds())
				}
				r.settings.Kinds = append(r.settings.Kinds, Kind(item))
			}
		case "again":
			if r.settings.Again, err = strconv.Atoi(value.String()); err != nil || r.settings.Again < 1 {
				return fmt.Errorf("again = %q is not a number of failures", value)
			}
		default:
			return fmt.Errorf("there is no setting %q", key)
		}
	}
	for _, name := range root.Sections() {
		if err := r.section(name, root.Section(name)); err != nil {
			return fmt.Errorf("[%s]: %w", name, err)
		}
	}
	return nil
}

// section reads one target.
func (r *reader) section(name string, section *lineage.Section) error {
	kind := name
	if value, ok := section.Get("type"); ok {
		kind = value.String()
	}
	known, ok := keys[kind]
	if !ok {
		return errors.New("its type is none of mail, webhook and exec")
	}
	for _, key := range section.Keys() {
		if !slices.Contains(known, key) {
			return fmt.Errorf("there is no setting %q; there are %v", key, known)
		}
	}
	if more := section.Sections(); len(more) > 0 {
		return fmt.Errorf("there is no section %q in it", more[0])
	}
	get := func(key string) string {
		value, _ := section.Get(key)
		return value.String()
	}
	var timeout time.Duration
	if text := get("timeout"); text != "" {
		var err error
		if timeout, err = time.ParseDuration(text); err != nil || timeout <= 0 {
			return fmt.Errorf("timeout = %q is not a time such as 15s", text)
		}
	}
	switch kind {
	case "mail":
		return r.mailSection(section, get, timeout)
	case "webhook":
		secret, err := r.secretOf(get, "secret")
		if err != nil {
			return err
		}
		hook := &Webhook{URL: get("url"), Secret: []byte(secret), Timeout: timeout}
		r.settings.Targets = append(r.settings.Targets, hook)
		return hook.Check()
	default:
		if strings.TrimSpace(get("command")) == "" {
			return errors.New("it has no command")
		}
		r.settings.Targets = append(r.settings.Targets, &Exec{Command: get("command"), Environment: r.Environment, Timeout: timeout})
		return nil
	}
}

func (r *reader) mailSection(section *lineage.Section, get func(string) string, timeout time.Duration) error {
	password, err := r.secretOf(get, "password")
	if err != nil {
		return err
	}
	to, _ := section.Get("to")
	m := &Mail{
		To: to.Items(), From: get("from"), Server: get("server"), Security: Security(get("security")), User: get("user"),
		Password: password, Sendmail: get("sendmail"), Host: r.Host, Timeout: timeout,
	}
	if r.mail == nil {
		r.mail = m
	}
	if len(m.To) == 0 { // it describes the way, for --notify mailto:…
		probe := *m
		probe.To = []string{"nobody@example.org"}
		return probe.Check()
	}
	r.settings.Targets = append(r.settings.Targets, m)
	return m.Check()
}

// secretOf reads a secret that stands in the file, or in another one.
func (r *reader) secretOf(get func(string) string, key string) (string, error) {
	file := get(key + "_file")
	if file == "" {
		r.secret = r.secret || get(key) != ""
		return get(key), nil
	}
	if get(key) != "" {
		return "", fmt.Errorf("%s and %s_file exclude each other", key, key)
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(r.Directory, file)
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecret {
		return "", fmt.Errorf("%s is not a file with a secret", file)
	}
	if err := private(file); err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}

// CheckTarget says what is wrong with a target of the command line.
func CheckTarget(text string) error { return (&reader{Sources: Sources{Host: "localhost"}}).flag(text) }

// flag reads a target of the command line.
func (r *reader) flag(text string) error {
	if addresses, ok := strings.CutPrefix(text, "mailto:"); ok {
		m := &Mail{Host: r.Host}
		if r.mail != nil {
			way := *r.mail
			m = &way
		}
		m.To = strings.Split(addresses, ",")
		r.settings.Targets = append(r.settings.Targets, m)
		return m.Check()
	}
	if command, ok := strings.CutPrefix(text, "exec:"); ok && strings.TrimSpace(command) != "" {
		r.settings.Targets = append(r.settings.Targets, &Exec{Command: command, Environment: r.Environment})
		return nil
	}
	hook := &Webhook{URL: text}
	if err := hook.Check(); err != nil {
		return fmt.Errorf("%q is none of https://…, mailto:ADDRESS and exec:COMMAND", redact(text))
	}
	r.settings.Targets = append(r.settings.Targets, hook)
	return nil
}

// distinct leaves out a target that is named twice: it is to be told once.
func (r *reader) distinct() {
	seen := make(map[string]bool)
	r.settings.Targets = slices.DeleteFunc(r.settings.Targets, func(t Target) bool {
		twice := seen[t.Name()]
		seen[t.Name()] = true
		return twice
	})
}
