/** Do certificates hold against bytes that nobody chose? A root and an EK's certificate made once with OpenSSL; their keys are gone. */
import { calledIn, fingerprintOf, readCertificate } from "../../attestation/tcg/certificate.ts"
import { readEkCertificate, whyNotEndorsing } from "../../attestation/tcg/ek-certificate.ts"
import { leadsTo } from "../../attestation/tcg/ek-chain.ts"
import { readPublic } from "../../attestation/tcg/public.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { fromBase64, sameBytes } from "../../attestation/wire/text.ts"
import * as seed from "./seeds.ts"
import { Broken, type Target } from "./target.ts"

const root = readCertificate(
  fromBase64(
    "MIIBjDCCATGgAwIBAgIUC2VjEqFzti4dud60KWEr3v1HLt4wCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHQSBtYWtlcjAgFw0yNjExMjEwOTQ1" +
      "MjZaGA8yMDgxMDgyNDA5NDUyNlowEjEQMA4GA1UEAwwHQSBtYWtlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDOlwmo+UOtuXyu7/PkP" +
      "gCNR0w1XRvL3qmSqvfrFRd7FqaMJtz+o3DIYAkgPa38Fw+WmmkA0SWz93lzg6LJGfDOjYzBhMB0GA1UdDgQWBBSDnP5xJ9CG10gp0OGyW5nq" +
      "lcTOQjAfBgNVHSMEGDAWgBSDnP5xJ9CG10gp0OGyW5nqlcTOQjAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwICBDAKBggqhkjOPQQD" +
      "AgNJADBGAiEAzZlpWjoDL8grGGuz7YNE0qQMBcJ71bH3I/j3AlkNd1cCIQDIlSM6PIfK1VlG2gbC1yaQAUdE7i3YZag7aL5RV+EUeg==",
  ),
)
const leaf = readCertificate(
  fromBase64(
    "MIIBhjCCASugAwIBAgIBBzAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdBIG1ha2VyMCAXDTI2MTEyMTA5NDUyNloYDzIwNzgxMTI4MDk0NTI2" +
      "WjAQMQ4wDAYDVQQDDAVhbiBFSzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABP/kKZ4bJBA9vtiH6FROYpfl603nXWEhSHN9Vcetp5guhyuX" +
      "F1/x7tugb097v58cwSP/4WXGPwKFS+aIbjUsO9ejcjBwMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQDAgUgMBAGA1UdJQQJMAcGBWeBBQgB" +
      "MB0GA1UdDgQWBBTG+FFcicEamSy3k41S1VlCalqWMDAfBgNVHSMEGDAWgBSDnP5xJ9CG10gp0OGyW5nqlcTOQjAKBggqhkjOPQQDAgNJADBG" +
      "AiEAitnws5UpxJz4SXg+leKq4LNLTd18esVXhqQlZ6oFcBkCIQDq/JDrotbE1N7JR5+xpdCaqFYNEYpiQHwt9kD9tzWw0A==",
  ),
)
const head = new Uint8Array([0x10, 0x01, 0x00, 0x01, 0x8c, 0x10, 0x02])
const padding = new Uint8Array(16).fill(0xff)
const now = Date.UTC(2030, 0, 1)
const ek = readPublic(seed.ekPublic)

export const certificates: Target = {
  name: "ek-certificate",
  grammar: "bytes",
  refusal: Malformed,
  seeds: () => [leaf.bytes, root.bytes, seed.join(head, leaf.bytes, padding)],
  take: bytes => {
    const certificate = readEkCertificate(bytes)
    calledIn(certificate.issuer)
    fingerprintOf(certificate)
    if (whyNotEndorsing(certificate, ek).length === 0) throw new Broken("it endorses a key that it does not hold")
    const led = leadsTo(certificate, { roots: [root], intermediates: [leaf] }, now)
    const own = [leaf, root].some(({ signed }) => sameBytes(signed, certificate.signed))
    if (led.kind === "anchored" && !own) throw new Broken("what the root never signed leads to it")
  },
}
