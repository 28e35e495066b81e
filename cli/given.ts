/** In which spellings does a person give values on the command line? Each a schema that reads it once, with its fault in words. */
import { z } from "zod"
import { tpmName } from "../attestation/protocol/evidence.ts"
import { fromHex } from "../attestation/wire/text.ts"

/** Any text; a path, a name. */
export const text = z.string()

/** A switch: there or not. */
export const flag = z.boolean().default(false)

/** 32 bytes in hexadecimal, in either case. */
export const hex32 = z
  .string()
  .regex(/^[0-9a-fA-F]{64}$/, "not 32 bytes in hexadecimal (64 digits)")
  .transform(given => fromHex(given.toLowerCase()))

/** The digest of a first policy, with or without "sha256:"; gives the hex. */
export const policyRoot = z
  .string()
  .regex(/^(sha256:)?[0-9a-f]{64}$/, "not a digest like sha256:…")
  .transform(given => given.replace("sha256:", ""))

/** The Name of an EK. */
export const attesterName = z.string().toLowerCase().pipe(tpmName)

/** A moment, with its time zone: milliseconds since 1970. */
export const moment = z.iso
  .datetime({ offset: true, error: "not a moment like 2026-01-31T12:00:00Z" })
  .transform(given => Date.parse(given))

/** PCR indices, separated by commas. */
export const pcrList = z
  .string()
  .regex(/^\d{1,2}(,\d{1,2})*$/, "not PCR numbers like 0,1,2,7,23")
  .transform(given => given.split(",").map(Number))
  .refine(pcrs => pcrs.every(pcr => pcr < 24), "there are PCRs 0 to 23")

/** host:port; an IPv6 address stands in brackets. */
export const hostAndPort = z
  .string()
  .regex(/^([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,45}\]):\d{1,5}$/, "not HOST:PORT")
  .transform(given => ({
    host: given.slice(0, given.lastIndexOf(":")),
    port: Number(given.slice(given.lastIndexOf(":") + 1)),
  }))
  .refine(({ port }) => port > 0 && port < 65_536, "there is no such port")

/** A whole number within bounds. */
export const wholeNumber = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, "not a whole number")
    .transform(Number)
    .refine(given => given >= min && given <= max, `not within ${min} and ${max}`)

/** The PCR that holds an attester's log: 16 or 23, as its configuration allows. */
export const logPcr = z.enum(["16", "23"], "16 or 23").default("23").transform(Number)
