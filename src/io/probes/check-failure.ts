/** Why a check failed, in words that may be published: they name no address. */
import type { CheckError } from "../../core/check.js";

/** Failures that say more of this side than of the target. */
const OWN_FAULTS: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL", "EACCES", "EPERM", "EAFNOSUPPORT"]);

const SENTENCES: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused", ECONNRESET: "the connection was reset", ECONNABORTED: "the connection was broken off", EPIPE: "the connection was closed",
  EHOSTUNREACH: "the host cannot be reached", ENETUNREACH: "the network cannot be reached", ETIMEDOUT: "no connection came about in time", ENOTFOUND: "the name does not exist",
  ESERVFAIL: "the name server failed", EREFUSED: "the name server refused", ETIMEOUT: "the name server did not answer in time", EAI_AGAIN: "the name server did not answer",
  CERT_HAS_EXPIRED: "the certificate has expired", DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is signed by itself", SELF_SIGNED_CERT_IN_CHAIN: "the chain holds a certificate that is signed by itself",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the certificate's issuer is not known", UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the certificate's issuer is not known", CERT_NOT_YET_VALID: "the certificate is not valid yet",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another name", UND_ERR_SOCKET: "the connection was closed", UND_ERR_HEADERS_OVERFLOW: "the headers are too long",
  UND_ERR_HEADERS_TIMEOUT: "no answer came in time", UND_ERR_BODY_TIMEOUT: "the answer was not whole in time", UND_ERR_ABORTED: "no answer came in time",
};

export class CheckFailure extends Error {
  override readonly name = "CheckFailure";

  constructor(
    readonly code: string,
    message: string,
    readonly state: "down" | "unknown" = "down",
  ) {
    super(message);
  }

  /** What an error of Node or of a library says of the target. */
  static of(error: unknown): CheckFailure {
    if (error instanceof CheckFailure) return error;
    if (error instanceof AggregateError) return CheckFailure.of(error.errors[0]);
    const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "failed";
    if (code.startsWith("HPE_")) return new CheckFailure("malformed", "the answer is no HTTP");
    const known = SENTENCES[code];
    const isTls = code.startsWith("ERR_SSL") || code.startsWith("ERR_TLS") || code === "EPROTO";
    return new CheckFailure(code, known ?? (isTls ? "the TLS handshake failed" : "the check failed"), OWN_FAULTS.has(code) ? "unknown" : "down");
  }

  get error(): CheckError {
    return { code: this.code, message: this.message };
  }
}
