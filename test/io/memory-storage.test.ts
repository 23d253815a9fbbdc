import { MemoryStorage } from "../../src/io/memory-storage.js";
import { storageContract } from "./storage-contract.js";

storageContract("memory", async () => {
  let refused = false;
  const storage = new MemoryStorage({ failWrites: () => (refused ? new Error("planted") : undefined) });
  return { storage, refuseWrites: (refuse) => void (refused = refuse), dispose: () => storage.close() };
});
