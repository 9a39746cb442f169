#!/usr/bin/env bash
# The main job from end to end, on a synthetic BirdCLEF: what `make demo` runs once birdfast is installed.
set -euo pipefail
out=${BIRDFAST_DEMO:-demo}
started=$SECONDS
say() { printf '\n== %s\n' "$*"; }

say "a small BirdCLEF in the 2026 layout"
birdfast synth "$out/birdclef" --classes 10 --recordings 180
birdfast doctor "$out/birdclef"

say "train the improved recipe from ImageNet weights"
birdfast train "$out/birdclef" --recipe improved --lr auto --epochs 16 --batch-size 16 --out "$out/run"

say "evaluate against the truth of the test soundscapes, which training never saw"
birdfast evaluate "$out/run/birds.safetensors" "$out/birdclef" --out "$out/report"

say "export once more from the learner's pickle, predict the test soundscapes"
birdfast export "$out/run/birds.pkl" "$out/birds.safetensors"
birdfast predict "$out/birds.safetensors" "$out/birdclef/test_soundscapes" --out "$out/scores.csv"

say "submission.csv, and its score"
birdfast predict "$out/birds.safetensors" "$out/birdclef/test_soundscapes" \
  --submission "$out/birdclef/sample_submission.csv" --out "$out/submission.csv"
birdfast evaluate "$out/submission.csv" "$out/birdclef/solution.csv"

say "done in $((SECONDS - started)) s"
cat <<END
data         $out/birdclef
run          $out/run          recipe.toml, birds.safetensors, birds.pkl, history.csv, per_class.csv, plots
report       $out/report
scores       $out/scores.csv
submission   $out/submission.csv
END
