package main

import "github.com/anishathalye/porcupine"

// tag is the model of one (repository, tag): a register with compare-and-set that can be deleted. Its state is the
// digest that the tag names, or the empty string when there is no such tag.
//
// An operation of unknown outcome may or may not have had its effect when it is linearized. That it never happened is
// the case that it comes after everything else, since its return is at the end of time.
var tag = porcupine.Model{
	Init: func() interface{} { return "" },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		return step(state.(string), input.(Operation))
	},
	DescribeOperation: func(input, _ interface{}) string { return input.(Operation).String() },
	DescribeState: func(state interface{}) string {
		if state == "" {
			return "absent"
		}
		return short(state.(string))
	},
}

// step says whether a tag that is as `state` could have answered so, and how the tag is afterwards.
func step(state string, o Operation) (bool, string) {
	switch o.Outcome {
	case Done:
		switch o.Kind {
		case Get, Head:
			return state == o.Found, state
		case Delete:
			return state != "", ""
		default:
			return o.allowed(state), o.Value
		}
	case Absent:
		return state == "", state
	case Refused:
		return !o.allowed(state) && state == o.Found, state
	case Unknown:
		return true, o.effect(state)
	}
	return false, state
}

// allowed says whether the condition of a write holds.
func (o Operation) allowed(state string) bool {
	switch o.Kind {
	case Replace:
		return state == o.Expected
	case Create:
		return state == ""
	default:
		return true
	}
}

// effect is what a write does when it happens, answered or not.
func (o Operation) effect(state string) string {
	if !o.allowed(state) {
		return state
	}
	return o.Value // of a DELETE it is empty
}

// password is the model of the password of one account: a register. Its state is the password, or the empty string
// before the account is made. A right try says what the password is, a wrong one only what it is not. A user who changes
// his own (Expected is what he came with) does both: his change happens only if that is the password then.
var password = porcupine.Model{
	Init: func() interface{} { return "" },
	Step: func(state, input, _ interface{}) (bool, interface{}) {
		o := input.(Operation)
		mayChange := o.Expected == "" || state == o.Expected
		switch {
		case o.Kind == Change && o.Outcome == Done:
			return mayChange, o.Value
		case o.Kind == Change && o.Outcome == Wrong:
			return !mayChange, state
		case o.Kind == Change && o.Outcome == Unknown && mayChange:
			return true, o.Value
		case o.Kind == Change && o.Outcome == Unknown:
			return true, state
		case o.Kind == Try && o.Outcome == Done:
			return state == o.Value, state
		case o.Kind == Try && o.Outcome == Wrong:
			return state != o.Value, state
		}
		return false, state
	},
	DescribeOperation: func(input, _ interface{}) string { return input.(Operation).String() },
	DescribeState:     func(state interface{}) string { return state.(string) },
}
