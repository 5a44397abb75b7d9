package ops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
)

// socketName is the socket's name in the data directory.
const socketName = "operator.sock"

// maxSocketPath is how long the path of a socket may be: sun_path of sockaddr_un
// has 104 octets on BSD and 108 on Linux, with the one that ends it.
const maxSocketPath = 103

var errNoSockets = errors.New("the path of the data directory is too long for a socket in it")

// socketPath is where the socket is, by a path that is short enough. The file, if
// there is one, must stay open for as long as the path is used.
func socketPath(dir string) (string, *os.File, error) {
	path, err := filepath.Abs(filepath.Join(dir, socketName))
	if err != nil || len(path) <= maxSocketPath {
		return path, nil, err
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("%w: %s", errNoSockets, path)
	}
	held, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", held.Fd(), socketName), held, nil
}

// listen makes the socket. The caller holds the data directory, so one that is there is a crash's.
func listen(dir string) (net.Listener, error) {
	path, held, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	if held != nil {
		defer held.Close()
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// The directory is closed to others (0700), so nobody else reached it before this.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if unix, ok := listener.(*net.UnixListener); ok && held != nil {
		unix.SetUnlinkOnClose(false) // the path ends with held; the next start removes the socket
	}
	return listener, nil
}

func dial(ctx context.Context, dir string) (net.Conn, error) {
	path, held, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	if held != nil {
		defer held.Close()
	}
	return new(net.Dialer).DialContext(ctx, "unix", path)
}
