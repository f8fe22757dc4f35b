package otp

// What is decided without a request around it.
var (
	TOTPStep     = totpStep
	ReadRecovery = readRecovery
)

// RecoveryAlphabet is of what recovery codes are made.
const RecoveryAlphabet = recoveryAlphabet
