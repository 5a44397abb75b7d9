// Package freeport finds ports for tests. What the system gives for port 0 it may give to somebody else's connection as
// soon as nobody listens there; these ports it gives to nobody.
package freeport

import (
	"crypto/rand"
	"errors"
	"math/big"
	"net"
	"strconv"
)

// The range lies below those that systems give out: from 32768 on Linux, from 49152 elsewhere.
const (
	lowest = 10000
	count  = 32768 - lowest
)

// tries is far more than it takes: few of these ports are in use anywhere.
const tries = 100

// Find gives a port that nobody listens on at the moment, over TCP or UDP, on any address.
func Find() (int, error) {
	var failure error
	for range tries {
		n, err := rand.Int(rand.Reader, big.NewInt(count))
		if err != nil {
			return 0, err
		}
		port := lowest + int(n.Int64())
		if failure = free(":" + strconv.Itoa(port)); failure == nil {
			return port, nil
		}
	}
	return 0, failure
}

// free reports why an address cannot be listened on.
func free(address string) error {
	streams, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return errors.Join(err, streams.Close())
	}
	return errors.Join(packets.Close(), streams.Close())
}
