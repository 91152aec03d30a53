package sftp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"waybill/exchange/wire"
	"waybill/internal/fault"
)

// login is one attempt to log in. It notes what it offered, never a secret.
type login struct {
	methods []ssh.AuthMethod
	offered []string
	agent   net.Conn
}

func (c *Config) login(ctx context.Context) (*login, error) {
	l := &login{}
	err := c.offerKeys(ctx, l)
	if err == nil {
		err = c.offerPassword(l)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *login) note(what string) { l.offered = append(l.offered, what) }

// last returns the method offered last. If the login succeeded, the server accepted that one:
// servers stop asking then.
func (l *login) last() string {
	if len(l.offered) == 0 {
		return "nothing"
	}
	return l.offered[len(l.offered)-1]
}

func (l *login) close() {
	if l.agent != nil {
		_ = l.agent.Close()
	}
}

// offerKeys makes one method of all keys: the library tries each kind of method once.
func (c *Config) offerKeys(ctx context.Context, l *login) error {
	var signers []ssh.Signer
	if c.KeyFile != "" {
		signer, err := c.readKey()
		if err != nil {
			return err
		}
		signers = append(signers, signer)
	}
	if c.UseAgent {
		held, err := l.askAgent(ctx, c)
		if err != nil {
			return err
		}
		signers = append(signers, held...)
	}
	if len(signers) == 0 {
		return nil
	}
	l.methods = append(l.methods, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
		l.note("public key " + fingerprints(signers))
		return signers, nil
	}))
	return nil
}

func fingerprints(signers []ssh.Signer) string {
	var prints []string
	for _, signer := range signers {
		prints = append(prints, ssh.FingerprintSHA256(signer.PublicKey()))
	}
	return strings.Join(prints, " or ")
}

func (c *Config) readKey() (ssh.Signer, error) {
	failed := func(err error, hint string) error {
		return fault.New(fault.Usage, "read key", c.KeyFile, err, hint)
	}
	if err := checkMode(c.KeyFile); err != nil {
		return nil, failed(err, "chmod 600 "+c.KeyFile)
	}
	text, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, failed(fault.Bare(err), fmt.Sprintf("let user %d read it", os.Geteuid()))
	}
	signer, err := ssh.ParsePrivateKey(text)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); !locked {
		if err != nil {
			return nil, failed(err, "it must be a private key as ssh-keygen writes it")
		}
		return signer, nil
	}
	if c.Passphrase == nil {
		return nil, failed(errors.New("the key is encrypted"), "configure its passphrase, or use an agent")
	}
	passphrase, err := c.Passphrase()
	if err != nil {
		return nil, failed(fmt.Errorf("the passphrase: %w", err), "")
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(passphrase))
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, failed(errors.New("the passphrase is wrong"), "try it: ssh-keygen -y -f "+c.KeyFile)
	}
	if err != nil {
		return nil, failed(err, "")
	}
	return signer, nil
}

// checkMode refuses what ssh refuses: our own key file that others may read. If the file belongs to
// another account, as a secret mounted into a container may, it is not checked.
func checkMode(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return fault.Bare(err)
	}
	if isOurs(info) && info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("its mode %#o lets others read the key", info.Mode().Perm())
	}
	return nil
}

func (l *login) askAgent(ctx context.Context, c *Config) ([]ssh.Signer, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, fault.New(fault.Usage, "ask", "the agent", errors.New("SSH_AUTH_SOCK is not set"), "start ssh-agent and ssh-add the key, or configure a key file")
	}
	conn, err := c.Times.Dial(ctx, "unix", socket)
	if err != nil {
		return nil, fault.New(fault.Usage, "ask", "the agent at "+socket, err, "start ssh-agent and ssh-add the key, or configure a key file")
	}
	l.agent = conn
	wire.CloseWhenDone(ctx, conn) // also while the agent waits for its user to confirm
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil, fault.New(fault.Transient, "ask", "the agent at "+socket, err, "")
	}
	if len(signers) == 0 {
		return nil, fault.New(fault.Usage, "ask", "the agent at "+socket, errors.New("it holds no key"), "ssh-add the key")
	}
	return signers, nil
}

func (c *Config) offerPassword(l *login) error {
	if c.Password == nil {
		return nil
	}
	password, err := c.Password()
	if err != nil {
		return fault.New(fault.Usage, "read", "the password", err, "")
	}
	l.methods = append(l.methods, ssh.PasswordCallback(func() (string, error) {
		l.note("password")
		return password, nil
	}), ssh.KeyboardInteractive(l.answer(password)))
	return nil
}

// answer gives the password to one hidden question. A program can't answer other questions, such as
// for a new password or a code.
func (l *login) answer(password string) ssh.KeyboardInteractiveChallenge {
	answered := false
	return func(_, _ string, questions []string, echos []bool) ([]string, error) {
		switch {
		case len(questions) == 0:
			return nil, nil
		case len(questions) > 1 || echos[0] || answered:
			return nil, errors.New("the server asks for more than a password")
		}
		answered = true
		l.note("keyboard-interactive")
		return []string{password}, nil
	}
}
