package audit

import (
	"os"
	"os/user"
	"strconv"
)

// Operator names who runs this process, for the Actor of what is done on the command line: the user of the system and, behind sudo,
// the one who called it. Root can say anything here, as root can do anything to the gateway.
func Operator() string {
	name := "uid " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if caller := os.Getenv("SUDO_USER"); caller != "" && caller != name {
		return name + " (sudo by " + caller + ")"
	}
	return name
}
