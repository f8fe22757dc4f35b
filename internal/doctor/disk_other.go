//go:build !linux

package doctor

import "errors"

// freeSpace is not known here.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }

// writable is found out at the first start.
func writable(string) error { return nil }
