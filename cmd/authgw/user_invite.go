package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"promess/authgw/idp/otp"
	"promess/authgw/internal/cli"
	"promess/authgw/internal/config"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

func userInvite() cli.Command {
	return cli.Command{
		Name:    "user invite",
		Args:    "--config FILE [--json] SUBJECT|NATIONAL_ID",
		Summary: "let a person choose a password who has no other way to sign in",
		Help: `
For who has no card yet, or has forgotten the password and has no other way in. A link goes to the person's
ordinary address, sent by the gateway when it runs, and the activation code is printed here: tell it to the person
by voice, after making sure who they are, and send it nowhere. The link and the code are good for nothing alone;
together they set a password, once, within 24 hours and with five tries. The person then signs in with it and with
a second factor, as everybody. Sessions end when the password is set; other means of proof stay. A new invitation
makes the one before worthless, and so does 'authgw user reset --factor password'.

  authgw user invite --config /etc/authgw/authgw.yaml 810000000001`,
		Run: runUserInvite,
	}
}

// invitedJSON is an invitation, for programs.
type invitedJSON struct {
	Subject string    `json:"subject"`
	Address string    `json:"address"` // a part of it
	Code    string    `json:"code"`
	Expires time.Time `json:"expires_at"`
}

func runUserInvite(ctx context.Context, fs *flag.FlagSet, args []string, io cli.Streams) error {
	var f userFlags
	f.declare(fs, "print one JSON object: subject, address, code, expires_at")
	rest, err := cli.Parse(fs, args, 1, 1)
	if err != nil {
		return err
	}
	a, err := f.open(ctx, io.Err)
	if err != nil {
		return err
	}
	defer a.close()
	found, err := a.find(ctx, rest)
	if err != nil {
		return err
	}
	done, err := a.invite(ctx, found[0])
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(io.Out, done)
	}
	_, err = fmt.Fprintf(io.Out, "activation code: %s\n"+
		"The link goes to %s; both are good until %s.\n"+
		"Make sure who the person is, then tell them the code by voice. Send it nowhere.\n", done.Code, visible(done.Address), done.Expires.Format(time.RFC3339))
	return err
}

func (a *accounts) invite(ctx context.Context, v store.Account) (invitedJSON, error) {
	inviter, err := a.inviter(ctx)
	if err != nil {
		return invitedJSON{}, err
	}
	if err := a.mayInvite(ctx, v); err != nil {
		return invitedJSON{}, err
	}
	if err := a.begin(ctx, "user invite", v.Subject, ""); err != nil {
		return invitedJSON{}, err
	}
	code, expires, err := inviter.Invite(ctx, v)
	switch {
	case errors.Is(err, outbox.ErrProtected):
		return invitedJSON{}, errors.New("the ordinary address of the account is in a domain of mail.protected_domains or of the person's own mailboxes, " +
			"where the link could not be read before signing in; 'authgw user import' changes the address")
	case errors.Is(err, outbox.ErrFull):
		return invitedJSON{}, errors.New("too many messages wait to be sent to this account, or in all: see that the gateway runs and reaches the mail server, and try again")
	case err != nil:
		return invitedJSON{}, err
	}
	return invitedJSON{v.Subject, mail.Mask(v.Address), code, expires.UTC().Truncate(time.Second)}, nil
}

// inviter leaves messages that the gateway sends.
func (a *accounts) inviter(ctx context.Context) (otp.Inviter, error) {
	c := a.config
	switch {
	case !c.OTP.Enabled:
		return otp.Inviter{}, errors.New("the login with a password is switched off: set seal_keys, and otp.enabled to true")
	case c.Mail.Host == "":
		return otp.Inviter{}, errors.New("no messages can be sent: the configuration has no mail.host")
	}
	keys, err := config.LoadSealKeys(c.SealKeys)
	if err != nil {
		return otp.Inviter{}, err
	}
	if err := seal.VerifyKeys(ctx, keys, a.store); err != nil {
		return otp.Inviter{}, fmt.Errorf("keys of seal_keys: %w", err)
	}
	return otp.Inviter{Store: a.store, Outbox: a.outbox(keys), Keys: keys, Now: time.Now}, nil
}

// outbox leaves messages for the gateway to send.
func (a *accounts) outbox(keys *seal.Keys) *outbox.Outbox {
	post := outbox.New(outbox.Config{Store: a.store, Log: a.log, Now: time.Now})
	post.Use(nil, keys, a.config.Mail.ProtectedDomains)
	return post
}

// mayInvite says why an invitation would lead the person nowhere.
func (a *accounts) mayInvite(ctx context.Context, v store.Account) error {
	if v.Disabled {
		return errors.New("the account is disabled; 'authgw user enable' lets the person in again")
	}
	if v.Address == "" {
		return errors.New("the account has no ordinary address; 'authgw user import' gives it one that you have made sure of")
	}
	if a.config.OTP.MailCode {
		return nil
	}
	factors, err := a.store.Factors(ctx, v.Subject)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(factors, func(f store.Factor) bool {
		return f.Kind == store.TOTP && a.config.OTP.TOTP || f.Kind == store.Recovery && a.config.OTP.Recovery
	}) {
		return errors.New("the person would have no second factor: otp.mail_code is off, and they have added neither an app nor recovery codes")
	}
	return nil
}
