package main

import (
	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exchange/store"
	"waybill/exchange/trust"
	"waybill/internal/setting"
	"waybill/schemas"
)

// signConfig is who signs what a service writes: keys in files, and programs for keys that don't leave their hardware.
type signConfig struct {
	Keys     []string         `yaml:"keys"`
	Commands []*trust.Command `yaml:"commands"`
}

// signers opens the keys. One that is missing, or that others may read, is an error before anything is written.
func (s *signConfig) signers() (signers trust.Signers, err error) {
	if s == nil {
		return nil, nil
	}
	files, err := trust.AllFiles(s.Keys)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		key, err := trust.ReadPrivate(path)
		if err != nil {
			return nil, err
		}
		signers = append(signers, key)
	}
	for _, command := range s.Commands {
		signers = append(signers, command)
	}
	return signers, nil
}

func (s *signConfig) check() error {
	if s == nil {
		return nil
	}
	for _, c := range s.Commands {
		if c.Key.Name == "" || len(c.Args) == 0 {
			return setting.Errorf("commands", "each needs a public key with its name (key: wbk1… NAME) and the program that signs (run)")
		}
	}
	return nil
}

// sealConfig is who can open what the patients service publishes.
type sealConfig struct {
	SecretFile string       `yaml:"secret_file"`
	Readers    seal.Readers `yaml:"readers"`
}

// secrets reads the secrets, and returns the readers; none if nothing is sealed.
func (s *sealConfig) secrets() (seal.Secrets, seal.Readers, error) {
	if s == nil {
		return nil, nil, nil
	}
	secrets, err := seal.ReadSecrets(s.SecretFile)
	return secrets, s.Readers, err
}

func (c *config) checkSeals() error {
	switch {
	case c.Seal == nil:
	case c.Export == nil:
		return setting.Errorf("seal", "only the service patients seals; %s opens: write open:", c.Service)
	case c.Seal.SecretFile == "":
		return setting.Errorf("seal", "name the file of the secret: secret_file; `waybill keys new seal FILE` makes one")
	default:
		if err := c.Seal.Readers.Validate(schemas.PatientEvents().Events()); err != nil {
			return setting.In("seal", err)
		}
	}
	return setting.In("open", c.Open.Validate())
}

// opening reads the keys that open what a party reads: its own, and of the producer its secret.
func (p *place) opening() (seal.Opening, error) {
	opening, err := p.Open.Opening()
	if err != nil {
		return opening, err
	}
	secrets, _, err := p.Seal.secrets()
	opening.Keys = append(opening.Keys, secrets.Keys()...)
	return opening, err
}

// reader returns a reader of a party's log, which believes whom the party trusts, and opens nothing.
func (on *installation) reader(c *config, place *store.Place) *exchange.Reader {
	return exchange.NewReader(on.measured(c, place)).Trusting(c.Trust)
}

// opener is a reader that opens what these parties can open. The first is whose log it is.
func (on *installation) opener(place *store.Place, parties ...*config) (*exchange.Parts, error) {
	var keys seal.Keys
	for _, party := range parties {
		opening, err := party.opening()
		if err != nil {
			return nil, err
		}
		keys = append(keys, opening.Keys...)
	}
	return on.reader(parties[0], place).Opening(keys), nil
}
