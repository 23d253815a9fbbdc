/** `purge` of a region file: which shared caches are told of changes. Secrets come from the environment, or from files that it names. */
import { readFileSync } from "node:fs";
import path from "node:path";
import type { SettingReader } from "./settings.js";

export interface PurgeConfig {
  readonly fastly: { readonly service: string; readonly api: string; readonly soft: boolean; readonly token: string } | undefined;
  readonly cloudflare: { readonly zone: string; readonly api: string; readonly token: string } | undefined;
  readonly cloudfront: { readonly distribution: string; readonly api: string; readonly paths: readonly string[]; readonly accessKeyId: string; readonly secretAccessKey: string } | undefined;
  /** Base URLs of caches that take PURGE. */
  readonly caches: readonly string[];
}

const SECRETS = ["STATUSMESH_FASTLY_TOKEN", "STATUSMESH_CLOUDFLARE_TOKEN", "STATUSMESH_AWS_ACCESS_KEY_ID", "STATUSMESH_AWS_SECRET_ACCESS_KEY"] as const;
export const PURGE_VARIABLES: readonly string[] = SECRETS.flatMap((name) => [name, `${name}_FILE`]);

type Environment = Readonly<Record<string, string | undefined>>;
const ID = { pattern: /^[A-Za-z0-9_-]{1,64}$/, says: "an id of 1 to 64 letters, digits, underscores and hyphens", fallback: "", optional: true } as const;
const given = (text: string | undefined): text is string => text !== undefined && text !== "";

/** Undefined if no cache is named. */
export function purgeOf(reader: SettingReader, environment: Environment, workingFolder: string): PurgeConfig | undefined {
  const secret = (name: (typeof SECRETS)[number], needed: boolean): string => {
    const faultsBefore = reader.faults.length;
    const value = environment[name] || fileOf(environment[`${name}_FILE`], workingFolder, reader);
    if (needed && !given(value) && reader.faults.length === faultsBefore) reader.fault(`purge: ${name} (or ${name}_FILE) must be set.`);
    return value ?? "";
  };
  const config = reader.group("purge", ["fastly", "cloudflare", "cloudfront", "caches"], (group): PurgeConfig => ({
    fastly: group.group("fastly", ["service", "api", "soft"], (one) => {
      const service = one.text("service", { ...ID, pattern: /^[A-Za-z0-9_-]{0,64}$/ });
      const api = one.text("api", { pattern: /^https?:\/\/\S+$/, says: "a URL", fallback: "https://api.fastly.com" }) ?? "";
      const soft = one.flag("soft", true);
      return given(service) ? { service, api, soft, token: secret("STATUSMESH_FASTLY_TOKEN", true) } : undefined;
    }),
    cloudflare: group.group("cloudflare", ["zone", "api"], (one) => {
      const zone = one.text("zone", { ...ID, pattern: /^[A-Za-z0-9_-]{0,64}$/ });
      const api = one.text("api", { pattern: /^https?:\/\/\S+$/, says: "a URL", fallback: "https://api.cloudflare.com" }) ?? "";
      return given(zone) ? { zone, api, token: secret("STATUSMESH_CLOUDFLARE_TOKEN", true) } : undefined;
    }),
    cloudfront: group.group("cloudfront", ["distribution", "api", "paths"], (one) => {
      const distribution = one.text("distribution", { ...ID, pattern: /^[A-Za-z0-9_-]{0,64}$/ });
      const api = one.text("api", { pattern: /^https?:\/\/\S+$/, says: "a URL", fallback: "https://cloudfront.amazonaws.com" }) ?? "";
      const paths = one.texts("paths");
      if (!given(distribution)) return undefined;
      return {
        distribution, api, paths: paths.length > 0 ? paths : ["/*"], accessKeyId: secret("STATUSMESH_AWS_ACCESS_KEY_ID", true), secretAccessKey: secret("STATUSMESH_AWS_SECRET_ACCESS_KEY", true),
      };
    }),
    caches: group.texts("caches").filter((url) => {
      const isUrl = /^https?:\/\/\S+$/.test(url);
      if (!isUrl) group.fault(`purge.caches: "${url}" is no http or https URL.`);
      return isUrl;
    }),
  }));
  return config.fastly === undefined && config.cloudflare === undefined && config.cloudfront === undefined && config.caches.length === 0 ? undefined : config;
}

function fileOf(file: string | undefined, workingFolder: string, reader: SettingReader): string | undefined {
  if (!given(file)) return undefined;
  try {
    return readFileSync(path.resolve(workingFolder, file), "utf8").split(/\r?\n/, 1)[0]?.trim();
  } catch {
    reader.fault(`purge: the file ${file} cannot be read.`);
    return undefined;
  }
}
