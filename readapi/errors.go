package readapi

import (
	"errors"

	"quipu/domain"
)

func asError(err error, target **domain.Error) bool { return errors.As(err, target) }

func joined(errs []error) error { return errors.Join(errs...) }
