package demo

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"promess/authgw/internal/softcard"
)

// introduce says what to do.
func (w *world) introduce(out io.Writer) {
	kind := "PKCS #1 v1.5 only, as a CPS3: TLS 1.2"
	if w.pss {
		kind = "PSS, as a CPS4: TLS 1.3"
	}
	a := w.address()
	fmt.Fprintf(out, `
  Open       %s
             in Chromium, Chrome, Edge or Firefox. The certificates are made for this run: the browser warns once for
             each of the names below, and you may go on ("Avancé", then "Continuer").

  Sign in with (pages speak the browser's language; what is on them is named here as it is in French)
  the card   «Se connecter avec ma carte CPS», then %s, the PIN of the card in memory. Three wrong ones in a row lock it.
  a code     «Se connecter avec un mot de passe et un code», then %s, the password «%s»,
             «Recevoir un code», and the code that arrives below and at %s
             «Mon compte» adds an app for codes («Ajouter une application de codes») and makes recovery codes («Créer des codes
             de secours»): from then on the second step lets you choose.
  a phone    A second browser window plays it. Browsers keep passkeys for sites without a warning only, so begin with one
             that knows this run's certificate, under whatever name Chromium, Chrome or Edge has on this machine:
             chromium --user-data-dir=/tmp/authgw-demo --ignore-certificate-errors-spki-list=%s
             Sign in with the card, then «Mon compte», «Ajouter un téléphone», «Afficher le QR code». In another window open
             %s
             which is the phone's camera: «Regarder l’autre fenêtre», and choose the one with the QR code. Both windows then say
             what to do. From then on it signs in: «Se connecter avec mon téléphone», and the camera again.
  a passkey  In that browser, «Mon compte», «Ajouter une clé d’accès sur cet ordinateur»; from then on «Se connecter avec ma clé
             d’accès». A computer that cannot keep passkeys can play one that does, and a phone too: in the window's developer
             tools (F12), ⋮, More tools, WebAuthn, tick "Enable virtual authenticator environment", add one with protocol ctap2,
             transport internal, resident keys and user verification, and leave the tools open.
  PSC        «S'identifier avec Pro Santé Connect»: a page of this program stands in for it, where you choose who you are.

  Portal     %s
  Mailbox    %s
  Planning   %s, not behind the gateway: it signs you in by OpenID Connect, and out when you sign out anywhere
  Agent      %s
  Messages   %s, her ordinary mailbox: what the gateway sends is there, and below
  Card       Jeanne MARTIN, médecin, RPPS %s; signs %s

  Type r and Enter to pull the card out of its reader (the session ends), i to put it back, Ctrl-C to stop.
  Below are the audit events, as they happen.

`, a.Mail, a.PIN, rpps, secret, a.Messages, a.Key, a.Camera, a.Portal, a.Mail, a.Planning, a.Agent, a.Messages, rpps, kind)
}

// commands plays the hands of the person at the reader.
func commands(in io.Reader, out io.Writer, card *softcard.Card) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		switch strings.ToLower(strings.TrimSpace(lines.Text())) {
		case "r":
			card.Remove()
			fmt.Fprintln(out, "The card is out of the reader.")
		case "i":
			card.Insert()
			fmt.Fprintln(out, "The card is in the reader.")
		case "":
		default:
			fmt.Fprintln(out, "r: pull the card out · i: put it in · Ctrl-C: stop")
		}
	}
}

// auditPrinter prints events as they happen, whole lines.
type auditPrinter struct{ out io.Writer }

func (p *auditPrinter) Write(line []byte) (int, error) {
	if _, err := fmt.Fprintf(p.out, "audit %s", line); err != nil {
		return 0, err
	}
	return len(line), nil
}
