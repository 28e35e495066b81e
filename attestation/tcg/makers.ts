/**
 * Which roots do TPM makers certify their EKs under? Facts, not trust: a collector trusts none until an operator gives it the
 * certificate, and then this table says whose it is. How a chain leads there: `ek-chain.ts`.
 */

/** One root: who runs it, the common name of its subject, SHA-256 of the certificate in hex, and where its maker publishes it. */
export type MakerRoot = {
  readonly maker: string
  readonly subject: string
  readonly fingerprint: string
  readonly published: string
}

const row = (maker: string, subject: string, fingerprint: string, published: string): MakerRoot => ({
  ...{ maker, subject, fingerprint, published },
})

const infineon = "http://pki.infineon.com"
const nuvoton = "https://www.nuvoton.com/security/NTC-TPM-EK-Cert/"
const globalSign = "https://secure.globalsign.com/cacert"

/**
 * Roots whose fingerprints were computed from the certificates. STMicroelectronics' own roots were issued by GlobalSign and are
 * trusted as they are. Infineon's older root (TPM EK Root CA) is not here: what it issued is signed with SHA-1.
 */
// biome-ignore format: one row, one root
export const makerRoots: readonly MakerRoot[] = [
  row("Infineon", "Infineon OPTIGA(TM) RSA Root CA", "899e35474c9807eb4c7f2f7a12da0028fb250cd02154d0009fca7d9c66574f3b", `${infineon}/OptigaRsaRootCA/OptigaRsaRootCA.crt`),
  row("Infineon", "Infineon OPTIGA(TM) ECC Root CA", "cfeb02fecd55ad7a73c6e1d11985d4c47dee248ab63dcb66091a2489660443c3", `${infineon}/OptigaEccRootCA/OptigaEccRootCA.crt`),
  row("Intel", "www.intel.com", "2e1b3ba79af56d758be51697621bc4b9e8cee0983db3e749c55eb9b37c6d2ae0", "https://upgrades.intel.com/content/CRL/ekcert/EKRootPublicKey.cer"),
  row("Nuvoton", "NTC TPM EK Root CA 01", "56b67007f448bd5c5746299fcdea9323971bbdaaefd8e3b9b84773abc888c90e", nuvoton),
  row("Nuvoton", "NTC TPM EK Root CA 02", "8fac94b462b37acb84431bdc71395585caf518c17f656051ff9c4347a4726ed9", nuvoton),
  row("Nuvoton", "Nuvoton TPM Root CA 0100", "887bc9658ffc6ad7f4eeb85c8819772ff609ee64c4dac4a6dca654a39e94b289", nuvoton),
  row("Nuvoton", "Nuvoton TPM Root CA 1110", "2782e51a95e86d9557fe4204316cf805bd6f5898f81f9732e944d742bcdc5f54", nuvoton),
  row("Nuvoton", "Nuvoton TPM Root CA 1111", "e38c280f7c0e0b49f31efc7531032bb6a86c3fba4eb89beb1d510eaa4510ae4a", nuvoton),
  row("Nuvoton", "Nuvoton TPM Root CA 2110", "4aebe77a51ed29959a7f9f5e07a24a558dee8167f3985d724995a541c258dfda", nuvoton),
  row("Nuvoton", "Nuvoton TPM Root CA 2111", "cd8185ff8995ed09811970090a8c36fafab34ef87f47fa51fdb9ecf95c9c2e04", nuvoton),
  row("STMicroelectronics", "STM TPM EK Root CA", "f8e37a86b689a20a6cc0c40cc3f81fb130fa9f44ce7ffa60d62590aaf87273a9", `${globalSign}/stmtpmekroot.crt`),
  row("STMicroelectronics", "STM TPM ECC Root CA 01", "c541d7e5b9e3f935621acbd403896225ec641036c9ae3b5f7ac793a606ff9b79", `${globalSign}/stmtpmeccroot01.crt`),
  row("STMicroelectronics", "GlobalSign Trusted Platform Module Root CA", "f27bf02c6e00c73d915eeb6a6a2f5fbf0c31ae0393149e6b5c31e41b113841c3", `${globalSign}/gstpmroot.crt`),
]

/** The row of the root with this fingerprint, or undefined. */
export const makerOf = (fingerprint: string): MakerRoot | undefined =>
  makerRoots.find(each => each.fingerprint === fingerprint)
