package agent

// What the tests of this package reach into.
var (
	TestOnlyOwnPeer  = ownPeer
	TestOnlyFindUser = findUser
)
