package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"promess/authgw/internal/mail"
)

// Entry is what an administrator says of a person. An empty text and a nil list are not said: what is recorded stays.
type Entry struct {
	IDType, NationalID    string // whom it is about, and nothing else is (F9)
	GivenName, FamilyName string // said always
	Profession            string
	Nominative            []string // mailboxes of this person alone
	Organisational        []string // mailboxes that several persons may open
	Structures            []Structure
	LoginName             string // by which the person may sign in, as IsLoginName allows
	Address               string // ordinary e-mail, which the administrator answers for
	State                 string
}

// LogValue keeps the person out of logs.
func (e Entry) LogValue() slog.Value { return slog.StringValue("entry of an account") }

// person is an account with its lists.
type person struct {
	Account
	nominative, organisational []string
	structures                 []Structure // by id
}

// after returns what is recorded of a person once an entry holds.
func (p person) after(e Entry) person {
	// A card writes the names its own way, in capitals as a rule. That is the same name, or each of the two would undo the other.
	if !strings.EqualFold(p.GivenName, e.GivenName) || !strings.EqualFold(p.FamilyName, e.FamilyName) {
		p.GivenName, p.FamilyName = e.GivenName, e.FamilyName
	}
	if e.Profession != "" {
		p.Profession = e.Profession
	}
	if e.LoginName != "" {
		p.LoginName = e.LoginName
	}
	if e.Address != "" {
		p.Address = e.Address
	}
	if e.State != "" {
		p.Disabled = e.State == StateDisabled
	}
	if e.Nominative != nil {
		p.nominative = e.Nominative
	}
	if e.Organisational != nil {
		p.organisational = e.Organisational
	}
	if e.Structures != nil {
		p.structures = slices.Clone(e.Structures)
		slices.SortFunc(p.structures, func(a, b Structure) int { return strings.Compare(a.ID, b.ID) })
	}
	return p
}

func (p person) sameTexts(q person) bool {
	return p.GivenName == q.GivenName && p.FamilyName == q.FamilyName && p.Profession == q.Profession && p.LoginName == q.LoginName &&
		p.Address == q.Address
}

func (p person) sameMailboxes(q person) bool {
	return slices.Equal(p.nominative, q.nominative) && slices.Equal(p.organisational, q.organisational)
}

func (p person) same(q person) bool {
	return p.sameTexts(q) && p.sameMailboxes(q) && slices.Equal(p.structures, q.structures) && p.Disabled == q.Disabled
}

// Conflict is why an entry cannot be recorded beside what is.
type Conflict struct {
	Entry  int    // its index
	Column string // address, mailboxes, organisational_mailboxes or login_name
	Text   string // what is wrong; it names nobody
}

// Plan is what an import will do. It is made by PlanImport and used once.
type Plan struct {
	Added, Changed, Unchanged int
	Conflicts                 []Conflict
	steps                     []step
	release                   []release
}

// step is an entry that changes something.
type step struct {
	entry    Entry
	known    bool // there was an account when the plan was made
	released bool // which lost a mailbox to another entry
}

// release is a mailbox that goes from one person of the import to another. It leaves the one before it reaches the other.
type release struct{ subject, address string }

// identity is who an account is about.
type identity struct{ idType, nationalID string }

// planning is a plan in the making.
type planning struct {
	plan    *Plan
	entries []Entry
	index   map[identity]int // of the entries
	owner   map[string]int   // entry that says a nominative mailbox, by its address in lower case
	named   map[string]int   // entry that says a login name
	known   []*person        // by entry; nil: no account yet
	subject map[string]int   // entry of an account, by subject
	loses   map[int]bool     // entries whose account loses a mailbox to another entry
}

// PlanImport compares entries, each about another person, with what is recorded, and says what an import of them would do. It writes
// nothing.
func (s *Store) PlanImport(ctx context.Context, entries []Entry) (*Plan, error) {
	p := &planning{
		plan: &Plan{}, entries: entries, index: map[identity]int{}, owner: map[string]int{}, named: map[string]int{}, known: make([]*person, len(entries)),
		subject: map[string]int{}, loses: map[int]bool{},
	}
	for i, e := range entries {
		id := identity{e.IDType, e.NationalID}
		if _, twice := p.index[id]; twice {
			return nil, errors.New("plan import: two entries about one person")
		}
		p.index[id] = i
		for _, m := range e.Nominative {
			p.owner[strings.ToLower(m)] = i
		}
		if _, twice := p.named[e.LoginName]; twice && e.LoginName != "" {
			return nil, errors.New("plan import: two entries with one login name")
		}
		p.named[e.LoginName] = i
	}
	for _, read := range []func(context.Context, conn) error{p.readAccounts, p.readMailboxes, p.readStructures} {
		if err := read(ctx, s.db); err != nil {
			return nil, failed("plan import", err)
		}
	}
	p.decide()
	return p.plan, nil
}

// readAccounts keeps those of the accounts that an entry is about. One look at all of them costs less than one for each entry.
func (p *planning) readAccounts(ctx context.Context, c conn) error {
	rows, err := c.query(ctx, "SELECT "+accountColumns+" FROM accounts a")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a Account
		if err := scanAccount(rows, &a); err != nil {
			return err
		}
		i, ok := p.index[identity{a.IDType, a.NationalID}]
		if ok {
			p.known[i] = &person{Account: a}
			p.subject[a.Subject] = i
		}
		// A name that its owner gives up in this import is free in the next.
		if to, wanted := p.named[a.LoginName]; wanted && a.LoginName != "" && (!ok || to != i) {
			p.conflict(to, "login_name", "is the login name of another account")
		}
	}
	return rows.Err()
}

func (p *planning) readMailboxes(ctx context.Context, c conn) error {
	rows, err := c.query(ctx, "SELECT subject, address, kind = 'organisational' FROM account_mailboxes ORDER BY subject, position")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var subject string
		var m Mailbox
		if err := rows.Scan(&subject, &m.Address, &m.Organisational); err != nil {
			return err
		}
		if i, ok := p.subject[subject]; ok {
			p.known[i].add(m)
		}
		if !m.Organisational {
			p.claim(subject, m.Address)
		}
	}
	return rows.Err()
}

func (p *person) add(m Mailbox) {
	if m.Organisational {
		p.organisational = append(p.organisational, m.Address)
	} else {
		p.nominative = append(p.nominative, m.Address)
	}
}

// claim settles whose a nominative mailbox of an account is, when an entry says it too. It opens somebody's mail: only an import that
// takes it from the one gives it to the other.
func (p *planning) claim(subject, address string) {
	to, wanted := p.owner[strings.ToLower(address)]
	if !wanted {
		return
	}
	from, ours := p.subject[subject]
	switch {
	case ours && from == to:
	case ours && p.entries[from].Nominative != nil: // and as no two entries say the same one, it is not in there
		p.plan.release = append(p.plan.release, release{subject, address})
		p.loses[from] = true
	default:
		p.conflict(to, "mailboxes", "is the own mailbox of another account")
	}
}

func (p *planning) conflict(entry int, column, text string) {
	p.plan.Conflicts = append(p.plan.Conflicts, Conflict{Entry: entry, Column: column, Text: text})
}

func (p *planning) readStructures(ctx context.Context, c conn) error {
	rows, err := c.query(ctx, "SELECT subject, structure_id, name FROM account_structures")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var subject string
		var v Structure
		if err := rows.Scan(&subject, &v.ID, &v.Name); err != nil {
			return err
		}
		if i, ok := p.subject[subject]; ok {
			p.known[i].structures = append(p.known[i].structures, v)
		}
	}
	for _, k := range p.known {
		if k != nil { // sorted here: databases sort text in their own ways
			slices.SortFunc(k.structures, func(a, b Structure) int { return strings.Compare(a.ID, b.ID) })
		}
	}
	return rows.Err()
}

// decide makes the steps.
func (p *planning) decide() {
	for i, e := range p.entries {
		known := p.known[i]
		if known == nil {
			p.plan.Added++
			p.plan.steps = append(p.plan.steps, step{entry: e})
			continue
		}
		will := known.after(e)
		for _, m := range will.organisational {
			if slices.ContainsFunc(will.nominative, func(n string) bool { return strings.EqualFold(m, n) }) {
				column := "organisational_mailboxes"
				if e.Organisational == nil {
					column = "mailboxes"
				}
				p.conflict(i, column, "is recorded as the other kind of mailbox of this person; give both columns")
			}
		}
		if column := circular(*known, will); column != "" {
			p.conflict(i, column, "the ordinary address of this person would be in the domain of one of their mailboxes, which its codes open; 'user reset --address' forgets it")
		}
		if known.same(will) {
			p.plan.Unchanged++
			continue
		}
		p.plan.Changed++
		p.plan.steps = append(p.plan.steps, step{entry: e, known: true, released: p.loses[i]})
	}
	slices.SortStableFunc(p.plan.Conflicts, func(a, b Conflict) int { return a.Entry - b.Entry })
}

// circular returns the column that would bring a person's ordinary address and the domain of one of their mailboxes together, or nothing
// when none does. What is recorded already is not judged again: whoever is disabled stays so whatever their address is.
func circular(known, will person) string {
	if will.Address == "" || !mail.Circular(will.Address, nil, slices.Concat(will.nominative, will.organisational)) {
		return ""
	}
	switch {
	case will.Address != known.Address:
		return "address"
	case !slices.Equal(will.nominative, known.nominative):
		return "mailboxes"
	case !slices.Equal(will.organisational, known.organisational):
		return "organisational_mailboxes"
	}
	return ""
}
