package run

import "errors"

// Fault is an error of Compute that says how the failure is to be stored: with its own type, code and
// details, such as {"pointer": "/config/expression"}. What it leaves empty the decider fills in, as it
// does for every other error.
type Fault struct{ ErrorInfo }

// Error renders the message.
func (f *Fault) Error() string { return f.Message }

// faultOf is err as it is stored; typ and code are those of an error without its own.
func faultOf(err error, typ, code string) ErrorInfo {
	e := ErrorInfo{Message: err.Error()}
	var f *Fault
	if errors.As(err, &f) {
		e = f.ErrorInfo
	}
	if e.Code == "" {
		e.Type, e.Code = typ, code
	}
	return e
}
