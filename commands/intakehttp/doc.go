// Package intakehttp is where commands come in over HTTP: run-dag and task-status in LAO's own
// shapes (contract D7).
//
// Handlers parse, call the executor and return errors as they are; the application's one error
// handler turns kinds into statuses. What is refused before anything is stored is refused with the
// JSON pointer of the field, its fault and the fix.
package intakehttp
