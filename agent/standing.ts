/** How does this agent stand? What happened last, kept while it runs, for whoever asks over its socket. */
import { plainLine } from "../attestation/wire/text.ts"
import type { Evidence } from "./attester.ts"
import type { Verdict } from "./outbox.ts"
import type { Status } from "./verbs.ts"

/** Told as things happen; read by the verb `status`. */
export class Standing {
  readonly #now: () => number
  connection: Status["connection"] = { state: "not enrolled" }
  evidence: Status["evidence"] = null
  acknowledged: Status["acknowledged"] = null
  refused: Status["refused"] = null

  /** @param now milliseconds since 1970 */
  constructor(now: () => number) {
    this.#now = now
  }

  connecting(): void {
    this.connection = { state: "connecting", since: this.#instant(0) }
  }
  connected(): void {
    this.connection = { state: "connected", since: this.#instant(0) }
  }
  /** @param pause milliseconds until the next attempt */
  waiting(pause: number, problem: string): void {
    const [since, until] = [this.#instant(0), this.#instant(pause)]
    this.connection = { state: "waiting", since, until, problem: plainLine(problem, 1024) }
  }
  made({ digest, kind, audience, made }: Evidence): void {
    this.evidence = { digest, kind, audience, made }
  }
  decided(verdict: Verdict): void {
    const at = this.#instant(0)
    if (verdict.type === "refused")
      this.refused = { evidence: verdict.evidence, at, findings: verdict.findings.map(({ id }) => id) }
    else {
      const { evidence, tier, nextSeconds } = verdict
      this.acknowledged = { evidence, tier, at, next: this.#instant(nextSeconds * 1000) }
    }
  }

  #instant(ahead: number): string {
    return new Date(this.#now() + ahead).toISOString()
  }
}
