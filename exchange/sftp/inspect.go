package sftp

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"waybill/exchange"
	"waybill/internal/fact"
)

// Inspect reports the server, how the login went, and what the server's extensions mean for
// writing.
func (s *Store) Inspect(ctx context.Context) ([]fact.Fact, error) {
	var facts []fact.Fact
	err := s.do(ctx, func(c *session) error {
		folder, err := c.files.RealPath(s.at("."))
		if err != nil {
			return err
		}
		facts = append(c.identity(), fact.Fact{Name: "folder", Value: folder})
		facts = append(facts, c.guarantees()...)
		if room, ok := c.room(folder); ok {
			facts = append(facts, room)
		}
		return nil
	})
	if err != nil {
		return nil, s.failed("inspect", "", err)
	}
	return facts, nil
}

func (c *session) identity() []fact.Fact {
	var offered []string
	for name := range extensions {
		if c.has(name) {
			offered = append(offered, name)
		}
	}
	slices.Sort(offered)
	facts := []fact.Fact{
		{Name: "server", Value: string(c.ssh.ServerVersion())},
		{Name: "host key", Value: c.hostKey.Type() + " " + ssh.FingerprintSHA256(c.hostKey)},
		{Name: "login", Value: c.login},
		{Name: "extensions", Value: strings.Join(offered, " ")},
	}
	if conn, ok := c.ssh.Conn.(ssh.AlgorithmsConnMetadata); ok {
		agreed := conn.Algorithms()
		facts = append(facts, fact.Fact{Name: "encryption", Value: agreed.KeyExchange + " " + agreed.Write.Cipher})
	}
	return facts
}

func (c *session) guarantees() []fact.Fact {
	publish := fact.Fact{Name: "create-if-absent", Value: "native, by " + hardlink}
	if !c.has(hardlink) {
		publish.Value = "emulated: looks, then renames"
		publish.Advice = "let one exporter alone write here; its database's lock is what keeps two from publishing at once"
	}
	replace := fact.Fact{Name: "overwrite", Value: "replaces, by " + posixRename}
	if !c.has(posixRename) {
		replace.Value = "by plain rename: the server may refuse"
	}
	durable := fact.Fact{Name: "durability", Value: "files are synced, by " + fsync}
	if !c.has(fsync) {
		durable.Value = "the server can't be asked to sync"
		durable.Advice = "after a crash of the server run `waybill verify` at the producer"
	}
	return []fact.Fact{publish, replace, durable}
}

// room asks for the free space of the folder, or of its parent if the folder does not exist yet.
func (c *session) room(folder string) (fact.Fact, bool) {
	if !c.has(statvfs) {
		return fact.Fact{}, false
	}
	stat, err := c.files.StatVFS(folder)
	if err != nil {
		stat, err = c.files.StatVFS(path.Dir(folder))
	}
	if err != nil {
		return fact.Fact{}, false
	}
	room := fact.Fact{Name: "room", Value: fmt.Sprintf("%d MiB free", stat.Bavail*stat.Frsize>>20)}
	if stat.Bavail < stat.Blocks/20 {
		room.Advice = "less than a twentieth is free: have the server's operator make room, or prune"
	}
	return room, true
}

// Written returns the file's time of modification, to the second.
func (s *Store) Written(ctx context.Context, name string) (at time.Time, err error) {
	if err := exchange.CheckName(name); err != nil {
		return at, err
	}
	err = s.do(ctx, func(c *session) error {
		info, err := c.files.Lstat(s.at(name))
		if err == nil {
			at = info.ModTime()
		}
		return err
	})
	if err != nil {
		return at, s.failed("inspect", name, err)
	}
	return at, nil
}
