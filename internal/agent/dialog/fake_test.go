package dialog_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"
)

// fake is a dialog program. With arguments it plays zenity or kdialog, without them pinentry. It records what it is told.
func fake(how string) int {
	record, err := os.Create(os.Getenv("AUTHGW_TEST_RECORD"))
	if err != nil {
		return 2
	}
	defer record.Close()
	if len(os.Args) > 1 {
		fmt.Fprintln(record, strings.Join(os.Args[1:], "\n"))
		return fakeCommand(how)
	}
	if how == "exit" {
		return 0
	}
	fmt.Println("OK Pleased to meet you")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		fmt.Fprintln(record, in.Text())
		if in.Text() == "GETPIN" {
			fakeGetPIN(how)
			continue
		}
		fmt.Println("# a comment")
		fmt.Println("OK")
	}
	return 0
}

func fakeCommand(how string) int {
	switch how {
	case "pin":
		fmt.Println("4711")
		return 0
	case "cancel":
		fmt.Fprintln(os.Stderr, "Gtk-WARNING: a theme is missing")
		return 1
	case "timeout":
		return 5
	case "notty":
		fmt.Fprintln(os.Stderr, "Gtk-WARNING: cannot open display: :9")
		return 1
	case "nodisplayqt":
		fmt.Fprintln(os.Stderr, "qt.qpa.xcb: could not connect to display :9")
		return 1
	case "endless":
		for {
			if _, err := fmt.Println(strings.Repeat("4711", 100)); err != nil {
				return 1
			}
		}
	}
	time.Sleep(time.Minute) // hang; the test kills it
	return 0
}

// fakeGetPIN answers with the lines of pinentry's manual and the codes of gpg-error.h, with the source pinentry (5 << 24).
func fakeGetPIN(how string) {
	switch how {
	case "pin":
		fmt.Println("S PASSWORD_FROM_USER")
		fmt.Println("D 4711")
		fmt.Println("OK")
	case "parts":
		fmt.Println("D 47%25")
		fmt.Println("D 11")
		fmt.Println("OK")
	case "empty":
		fmt.Println("OK")
	case "cancel":
		fmt.Println("ERR 83886179 Operation cancelled <Pinentry>")
	case "closed":
		fmt.Println("ERR 83886278 Operation fully cancelled <Pinentry>")
	case "timeout":
		fmt.Println("ERR 83886142 Timeout <Pinentry>")
	case "notty":
		fmt.Println("ERR 83918950 Inappropriate ioctl for device <Pinentry>")
	case "longline":
		fmt.Println("D " + strings.Repeat("4711", 2000))
	case "endless":
		for {
			if _, err := fmt.Println("S still thinking"); err != nil {
				os.Exit(1)
			}
		}
	case "hang":
		time.Sleep(time.Minute) // the test kills it
	}
}
