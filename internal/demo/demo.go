package demo

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"promess/authgw/certs"
	"promess/authgw/idp"
	"promess/authgw/internal/agent"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/softcard"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/web"
)

// The names of the demonstration. Browsers send *.localhost to this machine without asking anybody (RFC 6761, section 6.3).
const (
	name        = "demo"
	authHost    = "auth.localhost"
	cardHost    = "card.localhost"
	mailHost    = "mail.localhost"
	agendaHost  = "agenda.localhost"
	pin         = "1234"
	gatewayName = "ProMess (démonstration)"
)

// Config is what a person may choose. Its zero value does not listen anywhere.
type Config struct {
	Listen    string // host:port of the gateway, on loopback; another port is taken when this one is not free
	AgentPort uint16 // likewise; 0: that which agents have by default
	PSS       bool   // the card signs PSS, as a CPS4, so that TLS 1.3 is used; otherwise PKCS #1 v1.5, as a CPS3
	In        io.Reader
	Out       io.Writer
	Log       *slog.Logger
	Ready     func(Address) // called once everything listens; may be nil
}

// Address is where the demonstration is.
type Address struct {
	Portal string // https URL of the auth host
	Mail   string // https URL of the sample mailbox
	// Planning is the https URL of the sample service that is not behind the gateway.
	Planning string
	Agent    string // http URL of the agent
	// Messages is the http URL of the page that shows what the gateway sends.
	Messages string
	Camera   string // http URL of the page that is the camera of the window that plays the phone
	PIN      string
	Key      string         // SHA-256 of the public key of its certificate, in base64, as Chromium is told to believe it
	Roots    *x509.CertPool // of the gateway's certificate
	Listen   string         // host:port of the gateway, whatever its names resolve to
	Card     *softcard.Card
}

// Run runs the demonstration until ctx ends.
func Run(ctx context.Context, c Config) error {
	fmt.Fprintln(c.Out, "authgw demo: making keys and certificates …")
	world, err := newWorld(ctx, c)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return world.gateway.Run(ctx, world.listener, nil) })
	group.Go(func() error { return world.agent.Serve(ctx, world.agentListener) })
	for _, s := range world.services {
		group.Go(func() error { return serve(ctx, s.listener, s) })
	}
	group.Go(func() error { return serve(ctx, world.post.web, world.post) })
	group.Go(func() error { return serve(ctx, world.camera.web, world.camera) })
	group.Go(func() error { return world.post.receive(ctx) })
	group.Go(func() error { return serve(ctx, tls.NewListener(world.psc, world.pscTLS()), world.provider) })
	group.Go(func() error { return world.planning.run(ctx, world.pscTLS()) })
	world.introduce(c.Out)
	if c.Ready != nil {
		c.Ready(world.address())
	}
	if c.In != nil {
		go commands(c.In, c.Out, world.card) // ends with the input; a read from a terminal cannot be interrupted
	}
	err = group.Wait()
	fmt.Fprintln(c.Out, "authgw demo: over, nothing is left behind.")
	return err
}

// world is everything that runs.
type world struct {
	pki           *testpki.PKI
	config        *config.Gateway
	listener      net.Listener
	agentListener net.Listener
	services      []*sample
	post          *post
	camera        *camera
	psc           net.Listener
	planning      *planning
	gateway       *gateway.Gateway
	agent         *agent.Server
	certificate   tls.Certificate
	provider      http.Handler // that stands in for Pro Santé Connect
	card          *softcard.Card
	key           string // Address.Key
	pss           bool
}

func newWorld(ctx context.Context, c Config) (*world, error) {
	w := &world{pss: c.PSS}
	if err := w.assemble(ctx, c); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) assemble(ctx context.Context, c Config) (err error) {
	if w.listener, err = listen(ctx, c.Out, c.Listen); err != nil {
		return err
	}
	port := c.AgentPort
	if port == 0 {
		port = cardwire.DefaultAgentPort
	}
	if w.agentListener, err = listen(ctx, c.Out, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))); err != nil {
		return err
	}
	if w.pki, err = testpki.New(testpki.Config{Test: true, CardsOnly: true}); err != nil {
		return err
	}
	if w.post, err = newPost(ctx, c.Out); err != nil {
		return err
	}
	if w.psc, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	w.config = w.gatewayConfig()
	if w.camera, err = newCamera(ctx, w.config.Origin(authHost)); err != nil {
		return err
	}
	if w.certificate, err = w.pki.ServerCertificate(authHost, cardHost, mailHost, agendaHost, pscHost, planningHost, "127.0.0.1"); err != nil {
		return err
	}
	if w.provider, err = w.newPSC(); err != nil {
		return err
	}
	if err = w.makeServices(ctx); err != nil {
		return err
	}
	if err = w.makeGateway(ctx, c); err != nil {
		return err
	}
	return w.makeAgent(c)
}

// close releases what Run has not taken over.
func (w *world) close() {
	for _, l := range []net.Listener{w.listener, w.agentListener} {
		if l != nil {
			l.Close()
		}
	}
	for _, s := range w.services {
		s.listener.Close()
	}
	if w.post != nil {
		w.post.close()
	}
	if w.camera != nil {
		w.camera.web.Close()
	}
	if w.psc != nil {
		w.psc.Close()
	}
	if w.planning != nil {
		w.planning.listener.Close()
	}
	if w.gateway != nil {
		w.gateway.Close()
	}
}

// portsTried is how many ports after the wished one are tried before any free one is taken.
const portsTried = 20

// listen takes an address, or one beside it, and says so.
func listen(ctx context.Context, out io.Writer, address string) (net.Listener, error) {
	wished, err := netip.ParseAddrPort(address)
	if err != nil || !wished.Addr().IsLoopback() {
		return nil, fmt.Errorf("%q is not an address of this machine alone, like 127.0.0.1:8443", address)
	}
	for i := range portsTried {
		next := netip.AddrPortFrom(wished.Addr(), wished.Port()+uint16(i))
		if next.Port() < wished.Port() {
			break // past the last port
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", next.String())
		if err == nil {
			if i > 0 {
				fmt.Fprintf(out, "Port %d is taken; port %d is used instead.\n", wished.Port(), next.Port())
			}
			return l, nil
		}
		if wished.Port() == 0 {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(wished.Addr(), 0).String())
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "Port %d is taken; port %d is used instead.\n", wished.Port(), portOf(l))
	return l, nil
}

func portOf(l net.Listener) uint16 { return l.Addr().(*net.TCPAddr).AddrPort().Port() }

func (w *world) gatewayConfig() *config.Gateway {
	return &config.Gateway{
		Name: name, PublicPort: portOf(w.listener), AgentPort: portOf(w.agentListener),
		Hosts:    config.Hosts{Auth: authHost, Card: cardHost},
		Card:     config.Card{AllowTest: true, EndOnRemoval: true},
		Session:  config.Session{Idle: 30 * time.Minute, Absolute: 4 * time.Hour},
		Accounts: config.Accounts{Create: true},
		Audit:    config.Audit{Required: true},
		OTP:      config.OTP{Enabled: true, MailCode: true, TOTP: true, Recovery: true},
		Passkeys: config.Passkeys{Enabled: true},
		Phone:    config.Phone{Enabled: true},
		PSC:      w.pscConfig(),
		Database: store.Memory, DatabaseGrace: time.Minute,
		Support: config.Support{Phone: "01 23 45 67 89", Mail: "assistance@example.fr"},
		Mail: config.Mail{
			Host: "127.0.0.1", Port: portOf(w.post.smtp), InsecureNoTLS: true, From: "promess@example.fr", Timeout: 10 * time.Second,
			ProtectedDomains: []string{"mssante.example.fr"},
		},
	}
}

// keySet is where services find the gateway's keys.
func (w *world) keySet() keySet {
	return keySet{url: w.config.Origin(authHost) + "/oauth/keys", dial: w.listener.Addr().String(), roots: w.pki.ServerRoots()}
}

func (w *world) makeServices(ctx context.Context) error {
	for _, s := range []config.Service{
		{Name: "mail", Host: mailHost, Title: "Messagerie sécurisée", Description: "Boîte aux lettres MSSanté (exemple)", Home: "/"},
		{Name: "agenda", Host: agendaHost, Title: "Agenda partagé", Description: "Un autre service du portail (exemple)", Home: "/"},
	} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Backend = &url.URL{Scheme: "http", Host: l.Addr().String()}
		w.config.Services = append(w.config.Services, s)
		w.services = append(w.services, newSample(s, l, w.config.Origin(authHost), w.keySet()))
	}
	return nil
}

func (w *world) makeGateway(ctx context.Context, c Config) error {
	hash := sha256.Sum256(w.certificate.Leaf.RawSubjectPublicKeyInfo)
	w.key = base64.StdEncoding.EncodeToString(hash[:])
	trust, err := certs.NewTrust(w.pki.Certificates(), nil)
	if err != nil {
		return err
	}
	var lists [][]byte
	for _, a := range w.pki.Authorities() {
		der, err := w.pki.CRL(a, testpki.CRL{})
		if err != nil {
			return err
		}
		lists = append(lists, der)
	}
	keys, err := newSealKeys()
	if err != nil {
		return err
	}
	logos := map[string]*idp.Logo{}
	for _, s := range w.config.Services {
		image, err := pages.ReadFile("pages/" + s.Name + ".svg")
		if err != nil {
			return err
		}
		logos[s.Name] = idp.NewLogo("image/svg+xml", image)
	}
	var planning *client.Client
	if w.planning, planning, err = w.newPlanning(ctx); err != nil {
		return err
	}
	w.gateway, err = gateway.New(ctx, gateway.Config{
		Gateway: w.config,
		Materials: gateway.Materials{
			Certificates: []tls.Certificate{w.certificate},
			Trust:        trust,
			Logos:        logos,
			CRLs:         func() (*certs.CRLs, error) { return certs.NewCRLs(trust, lists...) },
			SealKeys:     keys,
			PSCSecret:    pscSecret,
			PSCRoots:     w.pki.ServerRoots(),
			Clients:      []*client.Client{planning},
		},
		ClientRoots: w.pki.ServerRoots(),
		Audit:       &auditPrinter{out: c.Out}, Log: c.Log, Prepare: prepare,
	})
	return err
}

// makeAgent makes the agent with its card: that of a doctor who does not exist.
func (w *world) makeAgent(c Config) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	certificate, err := w.pki.Authentication(testpki.Card{
		Kind: testpki.CPS, NationalID: rpps, GivenName: "Jeanne", FamilyName: "MARTIN", Profession: 10,
	}, key.Public())
	if err != nil {
		return err
	}
	w.card, err = softcard.New(softcard.Config{
		Certificate: certificate, Key: key, PIN: pin, PSS: c.PSS, Reader: "Lecteur de démonstration", Serial: "2800636234",
	})
	if err != nil {
		return err
	}
	origin := w.config.Origin(authHost)
	pages, err := web.NewPages(web.Site{Name: "Agent de carte", Agent: true, FormAction: []string{origin}, Log: c.Log})
	if err != nil {
		return err
	}
	w.agent, err = agent.New(agent.Config{
		Gateways: []agent.Gateway{{
			Name: name, Title: gatewayName, Origin: origin, Card: w.config.Origin(cardHost),
			Roots: w.pki.ServerRoots(), Dial: w.listener.Addr().String(),
		}},
		Cards: w.card, Pages: pages, Logger: c.Log, Version: "demo",
	})
	return err
}

func (w *world) address() Address {
	return Address{
		Portal: w.config.Origin(authHost) + "/", Mail: w.config.Origin(mailHost) + "/", Planning: w.planning.origin + "/", Agent: "http://" + w.agentListener.Addr().String(),
		Messages: w.post.address(), Camera: w.camera.address(), PIN: pin, Key: w.key, Roots: w.pki.ServerRoots(), Listen: w.listener.Addr().String(), Card: w.card,
	}
}

// serve answers on a listener until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}
