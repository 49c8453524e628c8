-- Keys that opened something stood in what HEAD tells again: the share's key as a pair of
-- Upload-Metadata, and the URLs of the parts of a joined file behind a line break. Neither is kept
-- in the clear any more, so both go from the records that are there. HEAD of a file that was joined
-- before tells no Upload-Concat from now on.

UPDATE files SET metadata = substr(metadata, 1, instr(metadata, char(10)) - 1)
WHERE instr(metadata, char(10)) > 0;

-- Pairs stand between commas; the name of one ends at a space, a tab, or its end. A name comes once
-- at most. Each kept pair is added behind a comma, and the first comma goes.
UPDATE files SET metadata = (
    WITH RECURSIVE pairs (kept, rest) AS (
        SELECT '', files.metadata || ','
        UNION ALL
        SELECT
            kept || iif(
                substr(replace(trim(substr(rest, 1, instr(rest, ',') - 1), ' ' || char(9)), char(9), ' ') || ' ', 1, 6)
                    = 'share ',
                '',
                ',' || substr(rest, 1, instr(rest, ',') - 1)
            ),
            substr(rest, instr(rest, ',') + 1)
        FROM pairs WHERE rest <> ''
    )
    SELECT trim(substr(kept, 2), ' ' || char(9)) FROM pairs WHERE rest = ''
)
WHERE instr(metadata, 'share') > 0;
