package main

import (
	"net"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"
)

// handedOver gives the sockets that systemd has opened for us, so that listening takes no rights (LISTEN_FDS). Other
// programs that we start are not told of them.
func handedOver() []net.Listener {
	sockets, err := activation.Listeners()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(sockets, func(l net.Listener) bool { return l == nil }) // what does not listen
}
