package site

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waybill/exchange/seal"
	"waybill/exchange/trust"
)

// Keys are those of a service that trusts the store with nothing but keeping bytes. The zero value signs and seals nothing.
type Keys struct {
	Sign     trust.Signers
	Trust    *trust.Policy
	Secrets  seal.Secrets // the patients service's
	Readers  seal.Readers
	Open     seal.Opening // a consumer's
	Settings string       // all of them, for a configuration file
}

// makeKeys gives each service its own keys, in a folder below the root, and makes them known to the others.
func (s *Site) makeKeys() error {
	if !s.Secure {
		return nil
	}
	if err := os.Mkdir(filepath.Join(s.Root, "keys"), 0o700); err != nil {
		return err
	}
	signing := map[string]*trust.Private{}
	for _, name := range Services() {
		key, err := trust.NewPrivate(name, rand.Reader)
		if err == nil {
			err = key.Write(s.keyFile(name, "sign"), time.Now())
		}
		if err != nil {
			return err
		}
		signing[name] = key
	}
	producer := &Keys{Sign: trust.Signers{signing[Patients]}, Trust: &trust.Policy{Receipts: map[string]trust.Public{}}, Readers: seal.Readers{}}
	s.keys = map[string]*Keys{Patients: producer}
	var receipts, readers bytes.Buffer
	for _, name := range Consumers() {
		reader, err := s.consumerKeys(name, signing)
		if err != nil {
			return err
		}
		producer.Readers[name] = reader
		fmt.Fprintf(&readers, "    %s: {keys: [%s], events: [%s], slim: %t}\n", name, reader.Keys[0], strings.Join(reader.Events, ", "), reader.Slim)
		for _, instance := range append([]string{s.Name}, s.Instances...) {
			of := name + "@" + instance
			producer.Trust.Receipts[of] = signing[name].Public()
			fmt.Fprintf(&receipts, "    %s: %s\n", of, signing[name].Public())
		}
	}
	_, err := seal.New(s.keyFile(Patients, "seal"), time.Now())
	if err == nil {
		producer.Secrets, err = seal.ReadSecrets(s.keyFile(Patients, "seal"))
	}
	producer.Settings = fmt.Sprintf("sign: {keys: [%s]}\ntrust:\n  receipts:\n%sseal:\n  secret_file: %s\n  readers:\n%s",
		s.keyFile(Patients, "sign"), &receipts, s.keyFile(Patients, "seal"), &readers)
	return err
}

// consumerKeys also returns the consumer as a reader of sealed parts.
func (s *Site) consumerKeys(name string, signing map[string]*trust.Private) (reader seal.Reader, err error) {
	consumer, err := Consumer(name)
	if err != nil {
		return reader, err
	}
	file := s.keyFile(name, "open")
	if _, err := seal.New(file, time.Now()); err != nil {
		return reader, err
	}
	key, err := seal.ReadSecret(file)
	if err != nil {
		return reader, err
	}
	public := signing[Patients].Public()
	s.keys[name] = &Keys{
		Sign: trust.Signers{signing[name]}, Trust: &trust.Policy{Keys: []trust.Public{public}}, Open: seal.Opening{Keys: seal.Secrets{key}.Keys()},
		Settings: fmt.Sprintf("sign: {keys: [%s]}\ntrust: {keys: [%s]}\nopen: {keys: [%s]}\n", s.keyFile(name, "sign"), public, file),
	}
	return seal.Reader{Keys: []seal.Recipient{key.Public()}, Events: consumer.Events, Slim: consumer.Slim}, nil
}

func (s *Site) keyFile(service, kind string) string {
	return filepath.Join(s.Root, "keys", service+"."+kind)
}

// Keys returns a service's keys.
func (s *Site) Keys(service string) Keys {
	if keys := s.keys[service]; keys != nil {
		return *keys
	}
	return Keys{}
}
