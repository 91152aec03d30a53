package dir

import "golang.org/x/sys/windows"

func space(folder string) (free, all uint64, err error) {
	name, err := windows.UTF16PtrFromString(folder)
	if err == nil {
		err = windows.GetDiskFreeSpaceEx(name, &free, &all, nil)
	}
	return free, all, err
}
