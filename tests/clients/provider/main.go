// An OpenID provider for the tests: the certified library of ZITADEL with the users and pages of its example, on a port of loopback.
//
//	provider PORT
//
// Two programs may log people in: `native` by a browser on the same machine, `device` (with its secret) by a code that is typed
// elsewhere. The user is `test-user@localhost`, the password `verysecure`.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// The only user, whose id is his name: the pages of the example know him by either.
type users struct{ storage.User }

func (u users) GetUserByID(id string) *storage.User { return u.GetUserByUsername(id) }
func (u users) ExampleClientID() string             { return "service" }
func (u users) GetUserByUsername(name string) *storage.User {
	if name != u.Username {
		return nil
	}
	return &u.User
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: provider PORT")
		os.Exit(2)
	}
	issuer := fmt.Sprintf("http://localhost:%s/", os.Args[1])
	storage.RegisterClients(
		storage.NativeClient("native", "http://127.0.0.1/callback"),
		storage.DeviceClient("device", "secret"),
	)
	name := "test-user@localhost"
	user := storage.User{ID: name, Username: name, Password: "verysecure", Email: name, EmailVerified: true}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	router := exampleop.SetupServer(issuer, storage.NewStorage(users{user}), quiet, false)
	fmt.Println(issuer)
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+os.Args[1], router))
	os.Exit(1)
}
