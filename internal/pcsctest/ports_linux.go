package pcsctest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports come from below those that the kernel gives to outgoing connections (32768 and up), which would come and go under our feet.
const (
	firstPort = 20000
	lastPort  = 32000
)

// reservePorts finds a free port whose successor is free: the driver's second reader listens there. Several tests may run at once,
// each in its own process, and vpcd cannot be given a socket that is open already; so a pair is reserved among them by a socket in
// the abstract namespace, which leaves no file behind and goes when the process does.
func (d *Daemon) reservePorts() (int, error) {
	for range 100 {
		port := firstPort + 2*rand.IntN((lastPort-firstPort)/2)
		reservation, err := net.Listen("unix", fmt.Sprintf("@pcsctest-port-%d", port))
		if err != nil {
			continue // another test has it
		}
		if free(port) && free(port+1) {
			d.reservation = reservation
			return port, nil
		}
		reservation.Close()
	}
	return 0, errors.New("no two free ports in a row")
}

func (d *Daemon) releasePorts() {
	if d.reservation != nil {
		d.reservation.Close()
		d.reservation = nil
	}
}

func free(port int) bool {
	ln, err := net.Listen("tcp", fmt.Sprintf(":%d", port)) // as vpcd does: on all interfaces
	if err != nil {
		return false
	}
	ln.Close()
	return true
}
