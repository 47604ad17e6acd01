package hostlink

import (
	"fmt"
	"net"

	"github.com/mdlayher/vsock"
)

// Listen is the host's socket.
func Listen() (net.Listener, error) {
	l, err := vsock.ListenContextID(HostCID, Port, nil)
	if err != nil {
		return nil, fmt.Errorf("hostlink: listen on vsock port %d: %w", Port, err)
	}
	return l, nil
}

// Dial is the guest's call.
func Dial() (net.Conn, error) {
	c, err := vsock.Dial(HostCID, Port, nil)
	if err != nil {
		return nil, fmt.Errorf("hostlink: dial the host on vsock port %d: %w", Port, err)
	}
	return c, nil
}
