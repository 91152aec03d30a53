package child

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"waybill/internal/fault"
)

// Account is the system account that servers run as.
type Account struct {
	Name       string
	credential *syscall.Credential // nil: that of this process
}

// ServerAccount returns the current account or, for root, postgres or nobody: most servers refuse
// to run as root, or get too many rights.
func ServerAccount() (Account, error) {
	if os.Geteuid() != 0 {
		current, err := user.Current()
		if err != nil {
			return Account{}, fault.New(fault.Usage, "find account", "", err, "")
		}
		return Account{Name: current.Username}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return Account{}, fault.New(fault.Usage, "find account", name, err, "")
		}
		return Account{name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return Account{}, fault.New(fault.Usage, "find account", "postgres", nil,
		"servers do not run as root: add a user postgres or nobody, or run this as another user")
}

// Confine makes cmd run as the account.
func (a Account) Confine(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Credential = a.credential
}

// Own makes the account the owner of files and folders.
func (a Account) Own(paths ...string) error {
	if a.credential == nil {
		return nil
	}
	for _, path := range paths {
		if err := os.Chown(path, int(a.credential.Uid), int(a.credential.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// CacheDir returns the folder for programs fetched for servers, below the user's cache. Root's
// own cache is closed to the account that servers run as, so root uses the system's.
func CacheDir() (string, error) {
	cache := "/var/cache"
	if os.Geteuid() != 0 {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			return "", fault.New(fault.Usage, "find", "cache folder", err, "set HOME")
		}
	}
	return filepath.Join(cache, "waybill"), nil
}
