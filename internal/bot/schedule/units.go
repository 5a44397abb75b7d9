package schedule

import (
	"fmt"
	"strings"
)

// quote writes a word for systemd, which replaces % and $ in commands, and % in paths.
func quote(word string, command bool) string {
	word = strings.ReplaceAll(word, "%", "%%")
	if command {
		word = strings.ReplaceAll(word, "$", "$$")
	}
	if word == "" || strings.ContainsAny(word, " ';") {
		return `"` + word + `"`
	}
	return word
}

// command is a command line of the program.
func (c *Config) command(words ...string) string {
	list := []string{quote(c.Program, true)}
	for _, word := range append(words, c.Arguments...) {
		list = append(list, quote(word, true))
	}
	return strings.Join(list, " ")
}

// walls shut a service in. Its hooks are inside, too: they can reload servers, and write
// where the paths say. Nothing here keeps them from running programs.
const walls = `NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
`

// rights are what root's process keeps: it writes into directories of others (webroots), gives files to them,
// opens ports below 1024, and its hooks send signals to servers.
const rights = "CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_KILL CAP_NET_BIND_SERVICE\n"

// paths are where it may write. One that is not there, with "-", is no error.
func (c *Config) paths() string {
	var b strings.Builder
	b.WriteString("ReadWritePaths=")
	for i, path := range append(append([]string{}, c.Directories...), c.Writable...) {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote("-"+path, false))
	}
	b.WriteByte('\n')
	return b.String()
}

const online = `Wants=network-online.target
After=network-online.target
`

func (c *Config) renewService() string {
	return mark + `[Unit]
Description=Renewal of certificates
` + online + `
[Service]
Type=oneshot
ExecStart=` + c.command("-q", "renew", "--no-random-sleep-on-renew") + `
TimeoutStartSec=12h
# Only the program itself is told to end: it lets a hook that runs come to its end.
KillMode=mixed
TimeoutStopSec=5min
` + c.paths() + rights + walls
}

const timerUnit = mark + `[Unit]
Description=Renewal of certificates, twice a day

[Timer]
OnCalendar=*-*-* 00,12:00:00
# Certificate authorities ask that not everybody comes at midnight.
RandomizedDelaySec=12h
Persistent=true

[Install]
WantedBy=timers.target
`

func (c *Config) daemonService() string {
	who, install := rights, `
[Install]
WantedBy=multi-user.target
`
	unit := online
	if c.Kind == Sockets {
		who = fmt.Sprintf("User=%s\nGroup=%s\nCapabilityBoundingSet=\nAmbientCapabilities=\n", c.User, c.Group)
		unit += "Requires=cairnbot.socket\nAfter=cairnbot.socket\n"
		install = `
[Install]
WantedBy=multi-user.target
Also=cairnbot.socket
`
	}
	return mark + `[Unit]
Description=Certificates, renewed when they are due
` + unit + `
[Service]
Type=notify
ExecStart=` + c.command("daemon") + `
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec=5min
Restart=on-failure
RestartSec=1min
KillMode=mixed
TimeoutStopSec=5min
` + who + c.paths() + walls + install
}

func (c *Config) socket() string {
	var b strings.Builder
	b.WriteString(mark + `[Unit]
Description=Where certificate authorities look for proofs of control

[Socket]
`)
	for _, port := range c.Ports {
		fmt.Fprintf(&b, "ListenStream=%d\n", port)
	}
	b.WriteString(`Service=cairnbot.service

[Install]
WantedBy=sockets.target
`)
	return b.String()
}

// users has the system make the user (sysusers.d(5)).
func (c *Config) users() string {
	text := mark
	if c.Group != c.User {
		text += fmt.Sprintf("g %s -\n", c.Group)
	}
	text += fmt.Sprintf("u %s - \"ACME client\" %s\n", c.User, tmpfilesPath(c.Directories[min(1, len(c.Directories)-1)]))
	if c.Group != c.User {
		text += fmt.Sprintf("m %s %s\n", c.User, c.Group)
	}
	return text
}

// tmpfiles gives the user its directories, with what is in them (tmpfiles.d(5)). The group may go through them to the
// keys that it may read.
func (c *Config) tmpfiles() string {
	var b strings.Builder
	b.WriteString(mark)
	for i, path := range c.Directories {
		mode := "0755"
		if i > 0 {
			mode = "0700"
		}
		fmt.Fprintf(&b, "d %s %s %s %s\n", tmpfilesPath(path), mode, c.User, c.Group)
		fmt.Fprintf(&b, "Z %s - %s %s\n", tmpfilesPath(path), c.User, c.Group)
	}
	if len(c.Directories) > 0 {
		for _, below := range []string{"archive", "live"} {
			fmt.Fprintf(&b, "d %s 0750 %s %s\n", tmpfilesPath(c.Directories[0]+"/"+below), c.User, c.Group)
		}
	}
	return b.String()
}

// tmpfilesPath is quote for tmpfiles.d and sysusers.d, where % stands for something, too.
func tmpfilesPath(path string) string { return quote(path, false) }

// cron is the line for /etc/cron.d. Its fields are split by spaces and its lines by %, and it has no quotation marks.
func (c *Config) cron() (string, error) {
	words := append([]string{c.Program, "-q", "renew"}, c.Arguments...)
	for _, word := range words {
		if strings.ContainsAny(word, " \t\n%'\"\\$`;&|<>()*?[]#~!{}") {
			return "", fmt.Errorf("cron cannot be given %q: use a path without special characters", word)
		}
	}
	return cronMark + `SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
` + fmt.Sprintf("%d 0,12 * * * root %s\n", c.Minute, strings.Join(words, " ")), nil
}
