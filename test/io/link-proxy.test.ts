import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import fc from "fast-check";
import { test } from "tap";
import { LinkProxy } from "../../src/io/link-proxy.js";
import { mulberry } from "./seeded-bytes.js";
