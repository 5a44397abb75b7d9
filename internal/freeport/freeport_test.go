package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/cairn-ca/cairn/internal/freeport"
)

func TestFind(t *testing.T) {
	taken := make(map[int]bool)
	for range 50 { // each is taken while the next is looked for
		port, err := freeport.Find()
		if err != nil {
			t.Fatal(err)
		}
		if port < 1024 || port >= 32768 || taken[port] {
			t.Errorf("port %d", port)
		}
		taken[port] = true
		listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
	}
}
