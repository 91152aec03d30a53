package sftp_test

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"waybill/internal/fault"
)

// speak answers packets of SFTP as a server must, up to a listing that never ends.
func speak(channel ssh.Channel) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(channel, head[:]); err != nil {
			return
		}
		request := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(channel, request); err != nil {
			return
		}
		const initialise, openDir, readDir, version, handle, name, attributes = 1, 11, 12, 2, 102, 104, 105
		id := request[1:5]
		var answer []byte
		switch request[0] {
		case initialise:
			answer = []byte{version, 0, 0, 0, 3}
		case openDir:
			answer = append(append([]byte{handle}, id...), 0, 0, 0, 1, 'h')
		case readDir:
			const most = 1000
			answer = binary.BigEndian.AppendUint32(append([]byte{name}, id...), most)
			for range most {
				answer = append(answer, 0, 0, 0, 1, 'a', 0, 0, 0, 0, 0, 0, 0, 0)
			}
		default: // every other request gets the attributes of a folder
			answer = append(append([]byte{attributes}, id...), 0, 0, 0, 4, 0, 0, 0x41, 0xed)
		}
		if _, err := channel.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)); err != nil {
			return
		}
	}
}

func TestAListingWithoutEnd(t *testing.T) {
	server := startOwn(t, ownServer{password: "x", speak: speak})
	store := open(t, server.config(t))
	var err error
	for _, failed := range store.List(t.Context(), "log") {
		err = failed
	}
	_, surveyed := store.Survey(t.Context(), "log")
	for _, err := range []error{err, surveyed} {
		if fault.ClassOf(err) != fault.Transient || err == nil || !strings.Contains(err.Error(), "more than 33554432 bytes") {
			t.Errorf("%v (%v)", err, fault.ClassOf(err))
		}
	}
}
