/** A key of TLS that openssl made, with a certificate over itself: neither is the product's. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"

/** Writes a P-256 key to `file` and its certificate beside it (`file`.crt); gives both in PEM. */
export function tlsKey(file: string, name: string): { readonly key: Buffer; readonly cert: Buffer } {
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
  const places = ["-keyout", file, "-out", `${file}.crt`]
  execFileSync("openssl", ["req", "-x509", ...kind, "-subj", `/CN=${name}`, ...places], { stdio: "ignore" })
  return { key: readFileSync(file), cert: readFileSync(`${file}.crt`) }
}
