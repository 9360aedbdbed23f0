package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// basic is the header of somebody who logs in with a password.
func basic(name, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

// changePassword gives an account another password, as the administrator that the client is or as the user himself, and
// fills in what came of it. It returns an error when the answer is none that a registry may give: an administrator is
// never refused here.
func (c *Client) changePassword(ctx context.Context, o *Operation) error {
	body, err := json.Marshal(map[string]string{"password": o.Value})
	if err != nil {
		return err
	}
	header := map[string]string{"Content-Type": "application/json"}
	if o.Expected != "" {
		header["Authorization"] = basic(o.Key, o.Expected)
	}
	got, err := c.call(ctx, http.MethodPut, "/api/v1/users/"+o.Key+"/password", header, body)
	if unknown, err := o.lost(got, err); unknown || err != nil {
		return err
	}
	switch {
	case got.status == http.StatusNoContent:
		o.Outcome = Done
	case got.status == http.StatusUnauthorized && o.Expected != "":
		o.Outcome = Wrong
	default:
		return fmt.Errorf("a change of a password was answered %v", got)
	}
	return nil
}

// tryPassword logs in to an account at o.Path, and fills in whether that was its password.
func (c *Client) tryPassword(ctx context.Context, o *Operation) error {
	got, err := c.call(ctx, http.MethodGet, o.Path, map[string]string{"Authorization": basic(o.Key, o.Value)}, nil)
	if unknown, err := o.lost(got, err); unknown || err != nil {
		return err
	}
	switch {
	case got.header.Get("Warning") != "":
		return fmt.Errorf("a password was judged without a quorum: %v", got)
	case got.status == http.StatusOK:
		o.Outcome = Done
	case got.status == http.StatusUnauthorized:
		o.Outcome = Wrong
	default:
		return fmt.Errorf("a password tried at %s was answered %v", o.Path, got)
	}
	return nil
}

// lost says whether an operation has no answer, or one that says nothing, and notes that. The error is that it was not
// sent.
func (o *Operation) lost(got answer, err error) (bool, error) {
	switch {
	case errors.Is(err, errNotSent):
		return false, err
	case err != nil:
		o.Outcome, o.Note = Unknown, err.Error()
	case notNow(got.status):
		o.Outcome, o.Note = Unknown, got.String()
	default:
		return false, nil
	}
	return true, nil
}
