package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"
)

// Listen takes a TCP address, or says what to do about it. key is the setting that the address comes from.
func Listen(ctx context.Context, address, key string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken by another program: end it, or change %s", address, key)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s may not be listened on: a port below 1024 needs the capability CAP_NET_BIND_SERVICE "+
			"(AmbientCapabilities= in a systemd unit), or change %s", address, key)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is not an address of this machine: change %s", address, key)
	}
	return l, err
}
