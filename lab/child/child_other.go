//go:build unix && !linux

package child

import "syscall"

// endWithParent does nothing: only Linux has parent-death signals.
func endWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// children returns nothing, because there is no /proc: a server's children must notice its end by themselves.
func children(int) []int { return nil }
