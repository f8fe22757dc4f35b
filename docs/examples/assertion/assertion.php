<?php
// A service behind the gateway that knows people by the signed assertion, and by nothing else. PHP 8 with the extensions openssl and apcu:
//   AUTHGW_ISSUER=https://auth.example.fr AUTHGW_SERVICE=agenda php -S 127.0.0.1:8082 assertion.php
declare(strict_types=1);

function decode(string $text): string
{
    return (string) base64_decode(strtr($text, '-_', '+/'), true);
}

// The gateway's key of that name. The set is kept, and asked for again when an assertion names another key, every ten seconds at most:
// somebody who makes up names must not have us flood the gateway.
function keyOf(string $issuer, string $kid): ?array
{
    $keys = apcu_fetch('authgw-keys') ?: [];
    if (!isset($keys[$kid]) && apcu_add('authgw-keys-asked', true, 10)) {
        $context = stream_context_create(['http' => ['timeout' => 5, 'follow_location' => 0]]);
        $set = json_decode((string) @file_get_contents("$issuer/oauth/keys", false, $context, 0, 65536), true);
        $keys = array_column($set['keys'] ?? [], null, 'kid') ?: $keys;
        apcu_store('authgw-keys', $keys);
    }
    return $keys[$kid] ?? null;
}

function signed(string $text, string $signature, array $jwk): bool
{
    // OpenSSL wants the key as a SubjectPublicKeyInfo (RFC 5480), and the signature's two numbers as a SEQUENCE of INTEGER.
    $der = hex2bin('3059301306072a8648ce3d020106082a8648ce3d03010703420004') . decode($jwk['x']) . decode($jwk['y']);
    $numbers = array_map(function (string $n): string {
        $n = ltrim($n, "\0");
        $n = $n === '' || ord($n[0]) > 127 ? "\0$n" : $n;
        return "\x02" . chr(strlen($n)) . $n;
    }, str_split($signature, 32));
    $pem = "-----BEGIN PUBLIC KEY-----\n" . base64_encode($der) . "\n-----END PUBLIC KEY-----\n";
    return openssl_verify($text, "\x30" . chr(strlen(implode($numbers))) . implode($numbers), $pem, OPENSSL_ALGO_SHA256) === 1;
}

// What the assertion says, or null when it is not the gateway's, for this service, now. It lives for a minute; two, as clocks differ.
function person(string $assertion, string $issuer, string $service): ?array
{
    $parts = explode('.', $assertion);
    [$head, $body, $signature] = array_map('decode', $parts + ['', '', '']);
    $head = json_decode($head, true);
    $known = count($parts) === 3 && ($head['alg'] ?? '') === 'ES256' && is_string($head['kid'] ?? null) && strlen($signature) === 64;
    $jwk = $known ? keyOf($issuer, $head['kid']) : null;
    if (($jwk['crv'] ?? '') !== 'P-256' || !signed("$parts[0].$parts[1]", $signature, $jwk)) {
        return null;
    }
    $claims = json_decode($body, true);
    $left = $claims['exp'] - time();
    return $claims['iss'] === $issuer && in_array($service, (array) $claims['aud'], true) && $left > 0 && $left < 120 ? $claims : null;
}

header('Content-Type: text/plain; charset=utf-8');
$person = person($_SERVER['HTTP_X_AUTHGW_ASSERTION'] ?? '', getenv('AUTHGW_ISSUER'), getenv('AUTHGW_SERVICE'));
http_response_code($person ? 200 : 401);
echo $person ? "Bonjour {$person['name']} ! Your records are under {$person['sub']}.\n" : "Please come through the gateway.\n";
