package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"waybill/internal/fault"
)

// channel is a way to send messages to people.
type channel struct {
	name     string
	severity Severity
	send     func(context.Context, Message) error
}

func (s *Settings) channels() (list []channel) {
	if s.Mail != nil {
		list = append(list, channel{"mail", s.Mail.Severity, s.Mail.send})
	}
	if s.Webhook != nil {
		list = append(list, channel{"webhook", s.Webhook.Severity, s.Webhook.send})
	}
	if s.Command != nil {
		list = append(list, channel{"command", s.Command.Severity, s.Command.send})
	}
	return list
}

func (m *Mail) message(message Message) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(m.From), msg.To(m.To...)); err != nil {
		return nil, err
	}
	msg.Subject(message.Subject())
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies
	msg.SetDate()
	msg.SetMessageID()
	msg.SetBodyString(mail.TypeTextPlain, message.Text())
	return msg, nil
}

func (m *Mail) send(ctx context.Context, message Message) error {
	msg, err := m.message(message)
	if err != nil {
		return failed("mail", err, "")
	}
	server, err := url.Parse(m.Server) // Check has parsed it before
	if err != nil {
		return failed("mail", err, "")
	}
	options := []mail.Option{mail.WithTimeout(patience), mail.WithTLSPolicy(mail.TLSMandatory), mail.WithPort(25)}
	if port, err := strconv.Atoi(server.Port()); err == nil {
		options = append(options, mail.WithPort(port))
	}
	if server.Scheme == "smtps" {
		options = append(options, mail.WithSSL())
	} else if local(server.Hostname()) || m.AllowPlaintext != "" {
		options = append(options, mail.WithTLSPolicy(mail.TLSOpportunistic))
	}
	if m.User != "" {
		password, err := secret("password", m.Password, m.PasswordFile)
		if err != nil {
			return err
		}
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.User), mail.WithPassword(password))
	}
	client, err := mail.NewClient(server.Hostname(), options...)
	if err == nil {
		err = client.DialAndSendWithContext(ctx, msg)
	}
	if err != nil {
		return failed("mail", err, "see whether "+m.Server+" takes mail from here, with TLS; `notify.mail` configures it")
	}
	return nil
}

func (w *Webhook) send(ctx context.Context, message Message) error {
	to, err := secret("url", w.URL, w.URLFile)
	if err != nil {
		return err
	}
	target, err := url.Parse(to)
	if err != nil || target.Host == "" {
		return fault.New(fault.Usage, "notify by", "webhook", errors.New("its URL can't be read"), "write https://HOST/PATH")
	}
	body, err := json.Marshal(message)
	if err != nil {
		return failed("webhook", err, "")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return failed("webhook", errors.New("its URL can't be used"), "write https://HOST/PATH")
	}
	request.Header.Set("Content-Type", "application/json")
	if w.Token != "" || w.TokenFile != "" {
		token, err := secret("token", w.Token, w.TokenFile)
		if err != nil {
			return err
		}
		if target.Scheme != "https" && !local(target.Hostname()) {
			return fault.New(fault.Usage, "notify by", "webhook", errors.New("its token would go over the network in the clear"), "write https://")
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // drops the URL, which may be a secret
	}
	if err == nil {
		defer answer.Body.Close()
		if answer.StatusCode/100 != 2 {
			err = errors.New(answer.Status)
		}
	}
	if err != nil {
		return failed("webhook", fmt.Errorf("%s: %w", target.Host, err), "see whether it takes a POST of JSON from here; `notify.webhook` configures it")
	}
	return nil
}

func (c *Command) send(ctx context.Context, message Message) error {
	data, err := json.Marshal(message)
	if err != nil {
		return failed("command", err, "")
	}
	cmd := exec.CommandContext(ctx, c.Run[0], c.Run[1:]...)
	cmd.Stdin = strings.NewReader(message.Subject() + "\n\n" + message.Text())
	cmd.Env = append(os.Environ(), "WAYBILL_NOTIFICATION="+string(data))
	cmd.WaitDelay = patience / 10 // for processes that it has started and left running
	if out, err := cmd.CombinedOutput(); err != nil {
		const most = 500
		said := strings.ToValidUTF8(string(out[:min(len(out), most)]), "")
		return failed("command", fmt.Errorf("%s: %w: %s", c.Run[0], err, strings.TrimSpace(said)), "see whether it runs as this user; `notify.command` configures it")
	}
	return nil
}
