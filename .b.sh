cd /work/w/sim && npx tsc -p . --outDir /tmp/simdist
sed 's#"./src/#"/tmp/simdist/#; s/: string\[\]//; s/(l: string)/(l)/' .try.ts > /tmp/simdist/try.mjs
