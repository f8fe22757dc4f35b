package psc_test

import (
	"testing"

	"promess/authgw/internal/psctest"
)

// scenarios says which test plays each scenario of issue 5, point 7, and some more. By the type of the functions, all of them run before
// both stand-ins, which play it with the same quirks. Those of the issue are played in Chromium too, before oidc-provider, by
// TestProSanteConnect of package e2e: what the person reads, whether a session is open, and what the audit says of it.
var _ = map[string][]func(*testing.T, psctest.Kind){
	"first login and second login":            {testFirstLoginMakesTheAccountAndASecondFindsIt, testRequestSaysWhatPSCAsksFor},
	"account of a card":                       {testF9AnAccountOfACardIsOpenedByPSC, testPersonOfAStructureHasHerIdentifierAsCardsDo},
	"sub changed between two":                 {testSubMayChangeAndNeverLeadsToSomebodyElse, testSubThatChangesAtARefreshIsSurvived},
	"acr eidas1, eidas2, eidas3, none, other": {testLevels},
	"two exercise situations":                 {testPersonChoosesOneOfTwoSituations, testTwoTabsChooseEachForItsOwnPerson},
	"sparse userinfo, JWT userinfo":           {testSparseAndSignedUserinfoAreTaken, testSparseUserinfoTakesNothingAway},
	"wrong nonce, iss, aud, azp, expired, another key, none, HS256, userinfo of another sub": {
		testF5AnswersThatAreNotWhatTheyShouldBeOpenNothing, testWhoHasNoNationalIdentifierIsNobody,
	},
	"key rotation": {testKeyRotationGoesUnnoticed, testKeysThatAreNotToBeHadLeaveTheOtherWays, testRenewalThatCannotBeCheckedIsRepeatedWithTheNewToken},
	"state missing, replayed, from another browser": {
		testF7StateMissingReplayedOrOfAnotherBrowser, testF7CodeOfAnotherLoginOpensNothing, testTwoTabsOfOneBrowserBothComeBack,
	},
	"error and access_denied callback":  {testPersonWhoCancelsIsToldSo, testF5AnswersThatAreNotWhatTheyShouldBeOpenNothing},
	"token endpoint 400, 502, time-out": {testTokenEndpointThatFailsLeavesTheOtherWays, testEndpointsThatHaveNoEndOrLeadElsewhereOpenNothing},
	"refresh refused": {
		testSessionThatPSCHasEndedEndsAndThePageSaysSo, testAnswerOfARefreshThatIsLostEndsTheSessionAtTheNext, testPSCThatDoesNotAnswerEndsNoSession,
		testTokensAreRenewedWhileThePersonIsActiveAndNotOtherwise, testOneRefreshOfASessionAcrossGateways, testRenewalMayBeOfALaterProofAndNotOfAnEarlierOne,
	},
	"card change in the same browser":   {testAnotherPersonInTheSameBrowserEndsTheSession, testAnotherPersonAtARefreshEndsTheSession},
	"logout with and without state":     {testSignOutEndsTheSessionAtPSCTooAndComesBackWithOrWithoutState, testSignOutWithoutPSCIsASignOut, testHandleOfASignOutIsGoodOnce},
	"back-channel logout":               {testF14BackChannelLogout, testLogoutTokenThatCouldNotBeFollowedMayComeAgain},
	"tls_client_auth":                   {testTLSClientAuthentication},
	"slow or wrong discovery, breaker":  {testWrongDiscoveryMakesTheMethodUnavailableAndRecovers, testBreakerLeavesAServerAloneThatDoesNotAnswer},
	"identities of the sandbox":         {testSandboxIdentityIsTakenInTheSandboxOnly},
	"disabled account":                  {testDisabledAccountIsRefusedAndItsSessionEnds},
	"nothing in clear in logs and data": {testNothingOfALoginIsWrittenDownInClear},
}
