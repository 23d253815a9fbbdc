/** The messages of anti-entropy (`anti-entropy.ts`). Same shapes as generated from `proto/anti_entropy.proto`. */
export interface AntiEntropy {
  session: number;
}
