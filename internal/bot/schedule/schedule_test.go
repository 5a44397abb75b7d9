package schedule_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/schedule"
)

func config(kind schedule.Kind) schedule.Config {
	return schedule.Config{
		Kind: kind, Program: "/usr/bin/true", Directories: []string{"/etc/letsencrypt", "/var/lib/letsencrypt", "/var/log/letsencrypt"},
		Arguments: []string{"--work-dir", "/srv/100% $HOME; x"}, Writable: []string{"/var/www/my site", "/srv/50%"},
		User: "cairnbot", Group: "tls-keys", Ports: []int{80, 443}, Minute: 17,
	}
}

func contents(t *testing.T, c schedule.Config) map[string]string {
	t.Helper()
	files, err := schedule.Files(c)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, f := range files {
		got[f.Path] = f.Content
	}
	return got
}

// systemd itself reads the units. Nothing is started or enabled: it is told of files in a directory of the test's.
func TestSystemdUnderstandsTheUnits(t *testing.T) {
	for _, kind := range []schedule.Kind{schedule.Timer, schedule.Daemon, schedule.Sockets} {
		c := config(kind)
		c.User, c.Group = "daemon", "daemon" // of this system: it looks whether they are there
		root := t.TempDir()
		files, err := schedule.Files(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := schedule.Write(root, files); err != nil {
			t.Fatal(err)
		}
		var units []string
		for _, f := range files {
			if strings.HasPrefix(f.Path, "/etc/systemd/system/") {
				units = append(units, filepath.Join(root, f.Path))
			}
		}
		output, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
		for line := range strings.Lines(string(output)) {
			if strings.Contains(line, "/cairnbot") || strings.HasPrefix(line, "cairnbot") {
				t.Errorf("%s: %s", kind, line)
			}
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", kind, err, output)
		}
	}
}

// What a stranger could do who takes over the process (systemd's own scale, 0 is best).
func TestServicesAreShutIn(t *testing.T) {
	for _, kind := range []schedule.Kind{schedule.Timer, schedule.Daemon, schedule.Sockets} {
		for path, text := range contents(t, config(kind)) {
			if !strings.HasSuffix(path, ".service") {
				continue
			}
			for _, want := range []string{"NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=", "SystemCallFilter=",
				`ReadWritePaths=-/etc/letsencrypt -/var/lib/letsencrypt -/var/log/letsencrypt "-/var/www/my site" -/srv/50%%` + "\n",
				`--work-dir "/srv/100%% $$HOME; x"`} {
				if !strings.Contains(text, want) {
					t.Errorf("%s lacks %q:\n%s", path, want, text)
				}
			}
		}
	}
	text := contents(t, config(schedule.Sockets))["/etc/systemd/system/cairnbot.service"]
	if !strings.Contains(text, "User=cairnbot\nGroup=tls-keys\nCapabilityBoundingSet=\n") {
		t.Errorf("it is not without rights:\n%s", text)
	}
}

func TestCron(t *testing.T) {
	c := config(schedule.Cron)
	if files, err := schedule.Files(c); err == nil {
		t.Errorf("cron was given %v", files)
	}
	c.Arguments = []string{"--config-dir", "/srv/etc"}
	text := contents(t, c)["/etc/cron.d/cairnbot"]
	if !strings.HasSuffix(text, "\n17 0,12 * * * root /usr/bin/true -q renew --config-dir /srv/etc\n") {
		t.Errorf("got %s", text)
	}
}

func TestWriteAndRemove(t *testing.T) {
	root := t.TempDir()
	write := func(kind schedule.Kind) error { return write(t, root, kind) }
	list := func() (found []string) {
		for path := range contents(t, config(schedule.Timer)) {
			if _, err := os.Stat(filepath.Join(root, path)); err == nil {
				found = append(found, path)
			}
		}
		return found
	}
	if schedule.Installed(root) {
		t.Error("it is installed before it is")
	}
	for range 2 {
		if err := write(schedule.Timer); err != nil {
			t.Fatal(err)
		}
	}
	if !schedule.Installed(root) {
		t.Error("it is not installed")
	}
	if len(list()) != 2 {
		t.Errorf("there is %v", list())
	}
	if err := write(schedule.Daemon); err != nil || len(list()) != 0 {
		t.Errorf("the timer is there beside the daemon: %v, %v", list(), err)
	}
	removed, err := schedule.Remove(root)
	if err != nil || !reflect.DeepEqual(removed, []string{"/etc/systemd/system/cairnbot.service"}) {
		t.Errorf("%v, %v", removed, err)
	}
}

func write(t *testing.T, root string, kind schedule.Kind) error {
	t.Helper()
	files, err := schedule.Files(config(kind))
	if err != nil {
		t.Fatal(err)
	}
	return schedule.Write(root, files)
}

func TestWhatOthersWroteStays(t *testing.T) {
	root := t.TempDir()
	foreign := filepath.Join(root, "/etc/systemd/system/cairnbot-renew.timer")
	if err := os.MkdirAll(filepath.Dir(foreign), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() error{
		"another's": func() error { return os.WriteFile(foreign, []byte("[Timer]\n"), 0o644) },
		"masked":    func() error { return os.Symlink("/dev/null", foreign) },
		"dangling":  func() error { return os.Symlink("/nowhere", foreign) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if err := write(t, root, schedule.Timer); !errors.Is(err, schedule.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if removed, err := schedule.Remove(root); err != nil || len(removed) > 0 {
			t.Errorf("%s: removed %v, %v", name, removed, err)
		}
		if schedule.Installed(root) {
			t.Errorf("%s: what another wrote is taken for ours", name)
		}
		if err := os.Remove(foreign); err != nil {
			t.Error(err)
		}
	}
}

func TestOthersAreSeen(t *testing.T) {
	root := t.TempDir()
	if got := schedule.Others(root); len(got) > 0 || schedule.Detect(root) != schedule.Cron {
		t.Errorf("got %v", got)
	}
	for path, text := range map[string]string{
		"/usr/lib/systemd/system/certbot.timer": "", "/run/systemd/system/x": "",
		"/etc/crontab": "# certbot renew\n0 0 * * * root letsencrypt renew\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	if got := schedule.Others(root); !reflect.DeepEqual(got, []string{"/lib/systemd/system/certbot.timer", "/etc/crontab"}) || schedule.Detect(root) != schedule.Timer {
		t.Errorf("got %v", got)
	}
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	for _, path := range []string{"relative", "/with\nline", "/with\"quote", `/with\backslash`, ""} {
		c := config(schedule.Timer)
		c.Writable = []string{path}
		if _, err := schedule.Files(c); err == nil {
			t.Errorf("%q was written", path)
		}
	}
	c := config(schedule.Sockets)
	c.User = "root\nUser=x"
	if _, err := schedule.Files(c); err == nil {
		t.Error("a user with a line break was written")
	}
}

// TestHomesAreQuoted has a home that sysusers.d would read as two words, and expand.
func TestHomesAreQuoted(t *testing.T) {
	c := config(schedule.Sockets)
	c.Directories = []string{"/etc/a", "/srv/my 50%h", "/var/log/a"}
	if text := contents(t, c)["/etc/sysusers.d/cairnbot.conf"]; !strings.Contains(text, ` "/srv/my 50%%h"`+"\n") {
		t.Errorf("got %s", text)
	}
}
