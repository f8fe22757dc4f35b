package pkcs11_test

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/ebfe/scard"

	"promess/authgw/internal/pcsctest"
	"promess/authgw/pkcs11"
)

// A29: after the login is over, a new one needs the PIN again, in whatever program.
func TestAnotherProgramCannotSignAfterClose(t *testing.T) {
	tests := []struct {
		name    string
		noReset bool
		want    int // signatures by the other program
	}{
		{"the card is reset", false, 0},
		{"with NoReset the card stays open: C_Logout does not close it", true, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			card := newCard(t, newECDSA(t))
			d := inReader(t, card)
			m := start(t, opensc(t), func(c *pkcs11.Config) { c.NoReset = test.noReset })
			token := oneToken(t, m)
			if err := token.Login(deadline(t), "1234"); err != nil {
				t.Fatal(err)
			}
			if !card.Verified() {
				t.Fatal("the card was given its PIN and does not say so")
			}
			if err := m.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			if card.Verified() == !test.noReset {
				t.Errorf("after Close the card is open: %v, want %v", card.Verified(), test.noReset)
			}
			otherProgramSigns(t, d)
			if got := card.Signatures(); got != test.want {
				t.Errorf("another program got %d signatures without a PIN, want %d", got, test.want)
			}
		})
	}
}

// otherProgramSigns asks the card for a signature, without a PIN, with OpenSC's own tool and a bare command.
func otherProgramSigns(t *testing.T, d *pcsctest.Daemon) {
	t.Helper()
	tool, err := exec.LookPath("opensc-tool")
	if err != nil {
		t.Fatal("no opensc-tool; install the Debian package opensc")
	}
	sign := "00:87:11:9A:26:7C:24:82:00:81:20"
	for range 32 {
		sign += ":5A"
	}
	cmd := exec.CommandContext(deadline(t), tool, "--reader", d.Readers[0], "--card-driver", "PIV-II",
		"--send-apdu", "00:A4:04:00:09:A0:00:00:03:08:00:00:10:00", "--send-apdu", sign+":00")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("opensc-tool: %v\n%s", err, out)
	}
}

func TestResetOfAnEmptyReader(t *testing.T) {
	d := pcsctest.Start(t)
	for _, reader := range []string{d.Readers[0], "no such reader"} {
		if err := pkcs11.Reset(deadline(t), reader); err != nil {
			t.Errorf("Reset(%q) = %v, want nil: nothing is left to reset", reader, err)
		}
	}
}

// A module may call its readers what it likes. When the reader of the PIN is not known, every card is reset.
func TestResetWhenTheModuleNamesItsReaderOtherwise(t *testing.T) {
	card := newCard(t, newECDSA(t))
	inReader(t, card)
	open := start(t, opensc(t), func(c *pkcs11.Config) { c.NoReset = true })
	if err := oneToken(t, open).Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	if err := open.Close(); err != nil || !card.Verified() {
		t.Fatalf("Close = %v, card open %v; want nil and an open card", err, card.Verified())
	}
	m := start(t, newShim(t, "REMOVABLE=1").module)
	if err := oneToken(t, m).Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if card.Verified() {
		t.Error("the card is open after Close")
	}
}

func TestResetWaitsForAProgramThatHoldsTheCard(t *testing.T) {
	d := inReader(t, newCard(t, newECDSA(t)))
	ctx, err := scard.EstablishContext()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ctx.Release() }()
	other, err := ctx.Connect(d.Readers[0], scard.ShareExclusive, scard.ProtocolAny)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := pkcs11.Reset(short, d.Readers[0]); err == nil {
		t.Error("Reset = nil, though another program holds the card")
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = other.Disconnect(scard.LeaveCard) })
	if err := pkcs11.Reset(deadline(t), d.Readers[0]); err != nil {
		t.Errorf("Reset, while the other program lets go = %v", err)
	}
}
